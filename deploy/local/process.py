"""A server as a process of its own: started detached, found again later, stopped cleanly."""

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

ROTATE_BYTES = 16 * 1024 * 1024
TAIL_LINES = 12
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, kw_only=True)
class Account:
    """The user that a server runs as if we are root."""

    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class ServerProcess:
    """A running server, or one that ran.

    Another process may have its pid by now. `born` (see `birth`) and `argument`, a file or folder
    that only this server has on its command line, tell whether it is still ours.
    """

    pid: int
    born: str
    started_at: float  # seconds since the epoch, for people
    argument: str

    def is_alive(self) -> bool:
        """Return whether this very process runs; a zombie does not."""
        words = command(self.pid)  # empty for an instant, while the program is being loaded
        return birth(self.pid) == self.born and (not words or self.argument in words)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process is still ours."""
        if self.is_alive():
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; return False if it still runs after `seconds`."""
        deadline = time.monotonic() + seconds
        # Not `is_alive`: a process loses its command line shortly before it ends.
        while birth(self.pid) == self.born:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        with contextlib.suppress(ChildProcessError):  # not our child, or waited for already
            os.waitpid(self.pid, 0)
        return True

    def stop(self, number: signal.Signals, *, seconds: float) -> bool:
        """Ask for a clean end, and kill after `seconds`; return whether the end was clean."""
        self.send(number)
        self.send(signal.SIGCONT)  # a suspended process would not see the first signal
        if self.wait(seconds):
            return True
        self.send(signal.SIGKILL)
        self.wait(10)
        return False


def birth(pid: int) -> str:
    """Return what tells a process from a later one with the same pid; empty if there is none.

    On Linux that is the boot and the clock ticks since then, because a start time in seconds
    moves when the clock is set; elsewhere it is the start time.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        started_at = process.create_time()
    except psutil.Error:
        return ""
    try:
        # Field 22. The name in field 2 may contain spaces and brackets, so count from its end.
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{BOOT_ID.read_text().strip()}:{ticks}"
    except OSError:
        return f"{started_at:.2f}"


def command(pid: int) -> list[str]:
    """Return the command line of a process, empty if it cannot be read."""
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def find(program: str, argument: str) -> ServerProcess | None:
    """Return the process of `program` with `argument` on its command line.

    It finds a server whose start was interrupted before its pid was written down.
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
    """Return whether a process that we may look at has `folder` as its working directory."""
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

    It gets a session of its own, no input, and appends its output to `log`. It holds none of our
    files, so a reader of our output does not wait for the server to end. If we are root, it runs as
    `account`. Raises OSError if the program cannot be executed.
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
    child.returncode = 0  # it outlives us: Popen must neither wait for it nor warn
    return ServerProcess(
        pid=child.pid, born=birth(child.pid), started_at=time.time(), argument=argument
    )


def environment_of_servers() -> dict[str, str]:
    """Return a small environment, without the caller's CLASSPATH, JAVA_TOOL_OPTIONS or PGDATA."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def tail(log: Path) -> list[str]:
    """Return the last lines of a log; an empty list if it does not exist."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            return file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        return []


def check_alive(process: ServerProcess, *, name: str, log: Path) -> None:
    """Raise ServerError when the server has ended."""
    if not process.is_alive():
        raise ServerError(f"{name} ended while it was starting", log=log)
