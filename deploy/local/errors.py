"""What can go wrong with the local stack.

LocalStackError           one line for a person, perhaps with the server's log
├── MissingPartError      something that `pip install` should have brought is not there
├── JarError              a jar cannot be had, or is not the one in the lock file
├── StateError            the state file is not one of ours, or another run holds the stack
└── ServerError           a server did not start, or did not stop
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class LocalStackError(Exception):
    """The message is one line; `log` is the file whose last lines tell the rest."""

    def __init__(self, message: str, *, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log


class MissingPartError(LocalStackError):
    """A wheel, a Java or a user that the stack needs is not there."""


class JarError(LocalStackError):
    """Kafka's jars cannot be downloaded, or differ from the lock file."""


class StateError(LocalStackError):
    """The stack's own files cannot be used as they are."""


class ServerError(LocalStackError):
    """Kafka or PostgreSQL did not do what it was told within its time."""
