"""Watches from its own process how long answers take, and how much memory the victims use.

    python -m tests.attack.onlooker FILE PORT KEY DEVICE MOST_BYTES PID…

It asks the API at PORT over new connections whether it lives and is ready, and over one that is
kept for a device's current state. Each request has an instant when it is due: what waits for a
late answer is late, too. A line of FILE is a look: the instant, what, a figure, how it went. A
process that takes more than MOST_BYTES is killed, so that the machine survives the attack.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from tests.attack.line import REFUSED, Line, ask, request

LIVE, STATE, READY, MEMORY = "live", "state", "ready", "memory"
KILLED = "killed"
LIVE_EVERY_S, STATE_EVERY_S, READY_EVERY_S, MEMORY_EVERY_S = 0.05, 0.1, 1.0, 0.05
PATIENCE_S = 5.0
_SOURCES = 100


class Onlooker:
    """Writes down what it sees until it is killed."""

    def __init__(self, file: TextIO, *, port: int, key: str, device: str) -> None:
        self._file = file
        self._port = port
        self._state = request("GET", f"/v1/telemetry/vehicle/{device}/current", key=key)
        self._writing = threading.Lock()
        self._asked = 0
        self._line: Line | None = None

    def fresh(self, path: str) -> str:
        """Ask over a new connection, each time from another address, to stay within limits."""
        self._asked += 1
        source = f"127.0.1.{1 + self._asked % _SOURCES}"
        message = request("GET", path, headers={"Connection": "close"})
        return ask(self._port, message, source=source, patience=PATIENCE_S).said

    def state(self) -> str:
        """Ask over the connection that is kept."""
        try:
            self._line = self._line or Line(self._port, source="127.0.2.1", patience=PATIENCE_S)
        except OSError:
            return REFUSED
        self._line.send(self._state)
        answer = self._line.answer()
        if not answer.headers:
            self._line.socket.close()
            self._line = None
        return answer.said

    def look(self, what: str, every: float, ask: Callable[[], str]) -> None:
        due = time.monotonic()
        while True:
            said = ask()
            now = time.monotonic()
            self.note(due, what, 1_000 * (now - due), said)
            due += every
            # Of a standstill each request that was due is counted, but not asked again.
            while due < now:
                self.note(due, what, 1_000 * (now - due), said)
                due += every
            time.sleep(due - now)

    def watch(self, pids: list[int], most: int) -> None:
        while True:
            for pid in pids:
                taken = memory(pid)
                if taken > most:
                    os.kill(pid, signal.SIGKILL)
                self.note(time.monotonic(), f"{MEMORY}:{pid}", taken, KILLED * (taken > most))
            time.sleep(MEMORY_EVERY_S)

    def note(self, at: float, what: str, figure: float, said: str) -> None:
        with self._writing:
            self._file.write(f"{at:.4f} {what} {figure:.1f} {said or '-'}\n")
            self._file.flush()


def memory(pid: int) -> int:
    """Return the most bytes that a process has taken since that was last reset; 0 of none."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


def forget_most(pid: int) -> None:
    """Let the most that a process has taken be what it takes now; see proc(5), clear_refs."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def main() -> None:
    file, port, key, device, most, *pids = sys.argv[1:]
    with Path(file).open("a") as lines:
        onlooker = Onlooker(lines, port=int(port), key=key, device=device)
        works: list[tuple[Callable[..., None], tuple[object, ...]]] = [
            (onlooker.look, (LIVE, LIVE_EVERY_S, lambda: onlooker.fresh("/health/live"))),
            (onlooker.look, (READY, READY_EVERY_S, lambda: onlooker.fresh("/health/ready"))),
            (onlooker.look, (STATE, STATE_EVERY_S, onlooker.state)),
        ]
        for work, arguments in works:
            threading.Thread(target=work, args=arguments, daemon=True).start()
        onlooker.watch([int(pid) for pid in pids], int(most))


if __name__ == "__main__":
    main()
