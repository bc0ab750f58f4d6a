"""Who is told what the stack does."""

from typing import Protocol


class Progress(Protocol):
    """The methods are called from several threads."""

    def say(self, line: str) -> None:
        """One thing has been done."""

    def jars(self, done: int, total: int) -> None:
        """So many of Kafka's jars have been downloaded."""


class Silence:
    """A Progress that tells nobody."""

    def say(self, line: str) -> None:
        """Drop it."""

    def jars(self, done: int, total: int) -> None:
        """Drop it."""
