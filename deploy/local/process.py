"""A server as a process of its own: started detached, known again later, stopped cleanly."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from deploy.local.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.local.unprivileged import Account

ROTATE_BYTES = 16 * 1024 * 1024
TAIL_LINES = 12
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, kw_only=True)
class ServerProcess:
    """A running server, or one that ran.

    A pid alone may be somebody else's by now. `born` (see `birth`) and `argument`, the file or
    folder on its command line that no other program names, tell whether it is still ours.
    """

    pid: int
    born: str
    started_at: float  # seconds since the epoch, for people
    argument: str

    def is_alive(self) -> bool:
        """Whether this very process runs; a zombie does not."""
        words = command(self.pid)  # none for an instant: while the program is being loaded
        return birth(self.pid) == self.born and (not words or self.argument in words)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process is still ours."""
        if self.is_alive():
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; False when it still runs after `seconds`."""
        deadline = time.monotonic() + seconds
        # Not `is_alive`: a process loses its command line a little before it ends.
        while birth(self.pid) == self.born:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        with contextlib.suppress(ChildProcessError):  # not our child, or reaped already
            os.waitpid(self.pid, 0)
        return True

    def stop(self, number: signal.Signals, *, seconds: float) -> bool:
        """Ask for a clean end, and after `seconds` kill. Returns whether the end was clean."""
        self.send(number)
        self.send(signal.SIGCONT)  # one that was suspended would never see the first signal
        if self.wait(seconds):
            return True
        self.send(signal.SIGKILL)
        self.wait(10)
        return False


def birth(pid: int) -> str:
    """What tells a process from a later one of the same pid; empty when there is none.

    On Linux the boot and the clock ticks since then, for a start time in seconds moves when
    somebody sets the clock; elsewhere the start time.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        started_at = process.create_time()
    except psutil.Error:
        return ""
    try:
        # Field 22; the name in field 2 may hold blanks and brackets, so count from its end.
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{BOOT_ID.read_text().strip()}:{ticks}"
    except OSError:
        return f"{started_at:.2f}"


def command(pid: int) -> list[str]:
    """The command line of a process, empty when it cannot be read."""
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def find(program: str, argument: str) -> ServerProcess | None:
    """A process of `program` with `argument` on its command line.

    This finds a server again whose start was interrupted before its pid was written down.
    """
    for process in psutil.process_iter(["cmdline", "create_time"]):
        words = process.info["cmdline"] or []
        if argument in words and Path(words[0]).name == program:
            return ServerProcess(
                pid=process.pid,
                born=birth(process.pid),
                started_at=process.info["create_time"],
                argument=argument,
            )
    return None


def works_in(folder: Path) -> bool:
    """Whether a process has `folder` as its working directory, as far as we may see."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.cwd() == str(folder):
                return True
    return False


def spawn(
    words: Sequence[str],
    *,
    argument: str,
    log: Path,
    folder: Path,
    environment: dict[str, str],
    account: Account | None = None,
) -> ServerProcess:
    """Start a program that outlives this one.

    It gets a session of its own, no input, and the end of `log` for its output: nothing of the
    caller's, so whoever waits for the end of our output does not wait for the server's. As root
    it runs as `account`. Raises OSError when the program cannot be executed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > ROTATE_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
    with log.open("ab") as output:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=environment,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=() if account else None,
        )
    child.returncode = 0  # it outlives us: Popen shall neither wait for it nor warn
    return ServerProcess(
        pid=child.pid, born=birth(child.pid), started_at=time.time(), argument=argument
    )


def environment_of_servers() -> dict[str, str]:
    """A small environment: CLASSPATH, JAVA_TOOL_OPTIONS or PGDATA of the caller would mislead."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def tail(log: Path) -> list[str]:
    """The last lines of a log, fewer when it is short, none when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            return file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        return []


def check_alive(process: ServerProcess, *, name: str, log: Path) -> None:
    """Raises ServerError when the server is gone."""
    if not process.is_alive():
        raise ServerError(f"{name} ended while it was starting", log=log)
