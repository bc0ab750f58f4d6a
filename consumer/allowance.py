"""How much of dead letters is kept whole. Pure.

Small letters always are; these are about the large ones, see `consumer.letters`.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Spent(NamedTuple):
    """What was kept whole of one reason, topic and hour: large letters, and their bytes."""

    letters: int = 0
    bytes: int = 0

    def plus(self, more: "Spent") -> "Spent":
        return Spent(self.letters + more.letters, self.bytes + more.bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How many large letters of one reason, topic and hour are kept whole, and of how many bytes.

    0 is without a bound.
    """

    letters: int = 0
    bytes: int = 0

    @property
    def is_bounded(self) -> bool:
        return bool(self.letters or self.bytes)

    def admits(self, spent: Spent) -> bool:
        """Say whether so much is within it."""
        return (not self.letters or spent.letters <= self.letters) and (
            not self.bytes or spent.bytes <= self.bytes
        )


UNBOUNDED = Allowance()
