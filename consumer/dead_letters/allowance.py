"""How many of the large dead letters are kept whole. Pure.

Small ones always are; see `consumer.dead_letters.rows`.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

from consumer.settings import DeadLetterSettings


class Spent(NamedTuple):
    """The large letters of one reason, topic and hour that are kept whole, and their bytes."""

    letters: int = 0
    bytes: int = 0

    def plus(self, more: "Spent") -> "Spent":
        return Spent(self.letters + more.letters, self.bytes + more.bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How many large letters of one reason, topic and hour are kept whole, and of how many bytes.

    0 means no bound.
    """

    letters: int = 0
    bytes: int = 0

    @classmethod
    def of(cls, settings: DeadLetterSettings) -> Self:
        return cls(
            letters=settings.dead_letters_whole_per_hour,
            bytes=settings.dead_letters_whole_bytes_per_hour,
        )

    @property
    def is_bounded(self) -> bool:
        return bool(self.letters or self.bytes)

    def admits(self, spent: Spent) -> bool:
        """Return whether this is within the bounds."""
        return (not self.letters or spent.letters <= self.letters) and (
            not self.bytes or spent.bytes <= self.bytes
        )


UNBOUNDED = Allowance()
