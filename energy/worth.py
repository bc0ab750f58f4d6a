"""What the readings of a device are worth: by column, one row a reading."""

from dataclasses import dataclass
from enum import IntFlag
from typing import Self

import numpy as np

from energy.units import Ints, Mask


class Doubt(IntFlag):
    """Why a reading's worth may differ from what the device meant."""

    NONE = 0
    IMPLAUSIBLE_READING = 1
    IMPLAUSIBLE_JUMP = 2
    REGISTER_FELL = 4
    UNSETTLED = 8
    OVERLAPPING = 16


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """A device's readings in order of their times, no two at one time.

    - `at` (n): microseconds since 1970 UTC
    - `value` (n): whole nanokilowatt-hours, as the device sent them
    """

    at: Ints
    value: Ints

    def __len__(self) -> int:
        return len(self.at)

    def take(self, rows: Mask | slice) -> Self:
        """Return the chosen readings, in the same order."""
        return type(self)(self.at[rows], self.value[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Worth:
    """What n readings are worth, in order of their times.

    - `at` (n): when each was read
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

    @classmethod
    def nothing(cls) -> Self:
        """Return what no readings are worth."""
        none = np.empty(0, np.int64)
        return cls(none, none, none, none)

    @classmethod
    def joined(cls, parts: "list[Worth]") -> Self:
        """Return parts that follow each other as one."""
        if not parts:
            return cls.nothing()
        return cls(
            np.concatenate([part.at for part in parts]),
            np.concatenate([part.since for part in parts]),
            np.concatenate([part.energy for part in parts]),
            np.concatenate([part.doubts for part in parts]),
        )

    def take(self, rows: Mask | slice) -> Self:
        """Return the chosen rows, in the same order."""
        return type(self)(self.at[rows], self.since[rows], self.energy[rows], self.doubts[rows])
