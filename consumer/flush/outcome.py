"""The outcome of a flush: what became of its messages."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Self

from consumer.dead_letters.letter import DeadLetter
from telemetry.reasons import Reason


@dataclass(slots=True)
class Outcome:
    """What became of a batch's messages; stored, duplicates and dead letters add up to the batch.

    `cut`: how many of the dead letters were not kept whole, by reason.
    """

    stored: int = 0
    duplicates: int = 0
    dead_letters: list[DeadLetter] = field(default_factory=list)
    cut: Counter[Reason] = field(default_factory=Counter)

    def __iadd__(self, other: "Outcome") -> Self:
        self.stored += other.stored
        self.duplicates += other.duplicates
        self.dead_letters += other.dead_letters
        return self
