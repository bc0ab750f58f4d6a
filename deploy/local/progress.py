"""The listener that is told what the stack does."""

from typing import Protocol


class Progress(Protocol):
    """A listener, called from several threads."""

    def say(self, line: str) -> None:
        """Hear of one thing that has been done."""

    def jars(self, done: int, total: int) -> None:
        """Hear how many of Kafka's jars have been downloaded, and how many there are."""


class Silence:
    """A Progress that ignores all it is told."""

    def say(self, line: str) -> None:
        """Ignore it."""

    def jars(self, done: int, total: int) -> None:
        """Ignore it."""
