"""A consumer or another service as a process on this machine: its log, its pages, its end."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PATIENCE_S = 60.0

LogLine = dict[str, Any]


class ReplicaError(Exception):
    """The process ended before it logged what was waited for; the message is one line."""


class ReplicaLateError(ReplicaError):
    """The process runs, but did not log in time what was waited for."""


class Replica:
    """A running `python -m consumer run`, or another command; port 0 picks a free port.

    It appends its log to a file and has a session of its own, so that it may outlive this process.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        log_file: Path,
        command: Sequence[str] = ("-m", "consumer", "run"),
        port: int = 0,
        folder: Path = ROOT,
        under: Sequence[str] = (),
    ) -> None:
        self.log_file = log_file
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("ab") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(
                [*under, sys.executable, *command],
                cwd=folder,
                env={**os.environ, **environment, "HTTP_PORT": str(port), "LOG_FORMAT": "json"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_for(self, event: str, *, times: int = 1) -> LogLine:
        """Return the event's log line once it has been logged this often; raises ReplicaError."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            code = self.process.poll()
            lines = self.events(event)
            if len(lines) >= times:
                return lines[times - 1]
            last = f"its last line: {self.log()[-1:] or 'nothing'}"
            if code is not None:
                raise ReplicaError(
                    f"{self.log_file.stem} ended with {code} and did not log {event}; {last}"
                )
            if time.monotonic() > deadline:
                raise ReplicaLateError(
                    f"{self.log_file.stem} did not log {event} in {PATIENCE_S:.0f} s; {last}"
                )
            time.sleep(0.02)

    def events(self, event: str) -> list[LogLine]:
        """Return the log lines of the event so far."""
        return [line for line in self.log() if line.get("event") == event]

    def log(self) -> list[LogLine]:
        """Return all complete lines so far; a line that is not JSON is an event of that text."""
        with self.log_file.open() as log:
            log.seek(self._log_start)
            *lines, _ = log.read().split("\n")
        return [json.loads(line) if line.startswith("{") else {"event": line} for line in lines]

    @property
    def address(self) -> str:
        """The URL of its pages; waits until it listens, raises ReplicaError."""
        return f"http://127.0.0.1:{self.wait_for('http_listening')['port']}"

    def get(self, path: str) -> tuple[int, str]:
        """Return the status and the text of one of its pages; raises OSError, ReplicaError."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=5) as answer:  # noqa: S310  ours
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, series: str) -> float:
        """Return the sum of all series whose lines on the page of metrics begin with this text."""
        _, page = self.get("/metrics")
        values = [line.rsplit(" ", 1)[1] for line in page.splitlines() if line.startswith(series)]
        return sum(map(float, values))

    def stop(self) -> int:
        """End it with SIGTERM and return its exit code."""
        self.process.terminate()
        return self.wait()

    def kill(self) -> int:
        """End it with SIGKILL, as a crash would, and return its exit code."""
        self.process.kill()
        return self.wait()

    def wait(self) -> int:
        """Return the exit code once it has ended; raises subprocess.TimeoutExpired."""
        return self.process.wait(timeout=PATIENCE_S)
