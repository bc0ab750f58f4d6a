"""The errors of the local stack.

LocalStackError           one line for a person, perhaps with the server's log
├── MissingPartError      something that `pip install` should have installed is missing
├── JarError              a jar cannot be downloaded, or is not the one in the lock file
├── StateError            the stack's own files cannot be used, or another run holds the stack
└── ServerError           a server did not start, or did not stop
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class LocalStackError(Exception):
    """The message is one line; the last lines of the file `log` tell more."""

    def __init__(self, message: str, *, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log


class MissingPartError(LocalStackError):
    """A wheel, a Java or a user that the stack needs is missing."""


class JarError(LocalStackError):
    """Kafka's jars cannot be downloaded, or differ from the lock file."""


class StateError(LocalStackError):
    """The stack's own files cannot be used as they are."""


class ServerError(LocalStackError):
    """Kafka or PostgreSQL did not start or stop in time."""
