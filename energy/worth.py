"""What readings are worth: by column, one row a reading."""

from dataclasses import dataclass
from enum import IntFlag

from energy.units import Ints


class Doubt(IntFlag):
    """Why a reading's worth may differ from what the device meant."""

    NONE = 0
    IMPLAUSIBLE_READING = 1
    IMPLAUSIBLE_JUMP = 2
    REGISTER_FELL = 4
    UNSETTLED = 8
    OVERLAPPING = 16


@dataclass(frozen=True, slots=True, eq=False)
class Worth:
    """What n readings are worth, in their order.

    - `at` (n): when each was read, on the line
    - `since` (n): its energy is that of since < t <= at; `since` is `at` if it has none
    - `energy` (n): whole nanokilowatt-hours
    - `doubts` (n): of `Doubt`
    """

    at: Ints
    since: Ints
    energy: Ints
    doubts: Ints

    def __len__(self) -> int:
        return len(self.at)
