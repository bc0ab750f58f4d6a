"""The API as a process of its own: its log, its address, its end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from deploy.replica import Replica


class Process(Replica):
    """A running `python -m api run`; killed on leaving, if it still runs."""

    def __init__(self, environment: Mapping[str, str], *, log_file: Path) -> None:
        super().__init__(environment, log_file=log_file, command=("-m", "api", "run"))

    def __enter__(self) -> Self:
        self.wait_for("http_listening")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
