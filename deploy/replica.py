"""A consumer as a process of its own on this machine: its log, its pages, its end."""

import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PATIENCE_S = 60.0

LogLine = dict[str, Any]


class ReplicaError(Exception):
    """The process ended, or did not say in time, what was waited for. One line."""


class Replica:
    """A running `python -m consumer run`; a free port is picked for its pages.

    Its log is kept in memory, and in the file where one is named.
    """

    def __init__(self, environment: Mapping[str, str], *, log_file: Path | None = None) -> None:
        self.log: list[LogLine] = []
        self._log_file = log_file
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "consumer", "run"],
            cwd=ROOT,
            env={**os.environ, **environment, "HTTP_PORT": "0", "LOG_FORMAT": "json"},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None  # noqa: S101  a pipe was asked for
        with self.process.stderr as lines:
            for line in lines:
                if self._log_file is not None:
                    with self._log_file.open("a") as kept:
                        kept.write(line)
                with self._news:
                    self.log.append(json.loads(line) if line.startswith("{") else {"event": line})
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for(self, event: str, *, times: int = 1) -> LogLine:
        """Return the log line of the event, once it has come this often; raises ReplicaError."""

        def came_or_ended() -> bool:
            return len(self.events(event)) >= times or not self._reader.is_alive()

        with self._news:
            self._news.wait_for(came_or_ended, PATIENCE_S)
            lines = self.events(event)
        if len(lines) < times:
            last = self.log[-1] if self.log else "nothing"
            raise ReplicaError(f"the consumer did not log {event}; its last line: {last}")
        return lines[times - 1]

    def events(self, event: str) -> list[LogLine]:
        """Return the log lines of an event so far."""
        return [line for line in self.log if line["event"] == event]

    @property
    def address(self) -> str:
        """Where its pages are, once it listens."""
        return f"http://127.0.0.1:{self.wait_for('http_listening')['port']}"

    def get(self, path: str) -> tuple[int, str]:
        """Return the status and the text of one of its pages; raises OSError."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=5) as answer:  # noqa: S310  ours
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, series: str) -> float:
        """Return the sum of the series that begin with this text, as the page spells them."""
        _, page = self.get("/metrics")
        values = [line.rsplit(" ", 1)[1] for line in page.splitlines() if line.startswith(series)]
        return sum(map(float, values))

    def stop(self) -> int:
        """Ask it to end and return its exit code."""
        self.process.terminate()
        return self.wait()

    def kill(self) -> int:
        """End it at once, as a crash would."""
        self.process.kill()
        return self.wait()

    def wait(self) -> int:
        """Return the exit code once it has ended; raises subprocess.TimeoutExpired."""
        code = self.process.wait(timeout=PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code
