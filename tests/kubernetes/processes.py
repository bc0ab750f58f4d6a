"""The programs of a cluster, each with a log of its own; they end with the run."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.kubernetes.errors import ClusterError

_SECONDS_TO_END = 20.0


class Program:
    """A program that is started, ended and started again with the same words."""

    def __init__(self, name: str, words: Sequence[str | Path], *, logs: Path) -> None:
        self.name, self.log = name, logs / f"{name}.log"
        self._words = [str(word) for word in words]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C is for us: the order in which programs end is ours.
                start_new_session=True,
            )

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal, and kill it if it does not."""
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """Raise ClusterError if it has ended by itself."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise ClusterError(f"{self.name} ended by itself with {code}", log=self.log)


@contextlib.contextmanager
def running(program: Program) -> Iterator[Program]:
    """Start a program, and end it when the block ends."""
    program.start()
    try:
        yield program
    finally:
        program.end()


def wait_until(
    what: str, condition: Callable[[], bool], *, seconds: float, program: Program | None = None
) -> float:
    """Return the seconds until the condition held; raises ClusterError if it does not in time."""
    begun = time.monotonic()
    while not condition():
        if program is not None:
            program.check()
        if time.monotonic() > begun + seconds:
            log = program.log if program else None
            raise ClusterError(f"waited {seconds:.0f} s in vain: {what}", log=log)
        time.sleep(0.2)
    return time.monotonic() - begun
