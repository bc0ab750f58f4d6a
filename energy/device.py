"""What a device is, and since when."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np

from energy.units import MINUTE_US, NANO, SECOND_US, Ints

FOREVER = 2**62
BEGINNING = -FOREVER
# What a meter without a rating, and a vehicle, may draw or take at most.
UNRATED_KW = 1_000
_MILLIWATTS = 1_000_000


class Kind(StrEnum):
    """What the kWh of a reading mean. It is entered with the device, and never guessed."""

    INTERVAL = "interval"
    REGISTER = "register"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is registered of a device. The defaults hold for one that only sends readings."""

    kind: Kind = Kind.INTERVAL
    interval_s: float = 60
    capacity_kw: float | None = None
    modulus_kwh: float | None = None
    step_kwh: float = 1
    reports_only_while_charging: bool = False

    @property
    def interval_us(self) -> int:
        """How long a reading of an interval device lasts, in microseconds."""
        return round(self.interval_s * SECOND_US)

    @property
    def known_gap_us(self) -> int:
        """How long a register may be silent so that its energy is still known at every minute."""
        return max(5 * MINUTE_US, 2 * self.interval_us)

    @property
    def power(self) -> int:
        """The most that the device may draw, in tenths of a milliwatt."""
        if self.capacity_kw is None:
            return 10 * UNRATED_KW * _MILLIWATTS
        return 11 * round(self.capacity_kw * _MILLIWATTS)

    @property
    def modulus(self) -> int | None:
        """The value at which the register begins at zero again, in nanokilowatt-hours."""
        return None if self.modulus_kwh is None else round(self.modulus_kwh * NANO)

    @property
    def step(self) -> int:
        """The register's step in nanokilowatt-hours."""
        return round(self.step_kwh * NANO)


def most_possible(power: int, duration_us: int) -> int:
    """Return the most energy, in nanokilowatt-hours, that fits into a time at `Facts.power`.

    A microsecond of 1.1 kW is 1.1 / 3.6 nanokilowatt-hours; power is in tenths of a milliwatt.
    """
    return power * duration_us // (36 * _MILLIWATTS)


@dataclass(frozen=True, slots=True)
class Dated:
    """Facts that hold from a time on, in microseconds since 1970, until the next ones do."""

    since: int
    facts: Facts


@dataclass(frozen=True, slots=True)
class Device:
    """A device's facts in order of their times; the first hold from the beginning on."""

    dated: Sequence[Dated] = (Dated(BEGINNING, Facts()),)

    @classmethod
    def of(cls, facts: Facts) -> "Device":
        """Return a device that has always been the same."""
        return cls((Dated(BEGINNING, facts),))

    def at(self, time: int) -> Facts:
        """Return what held for a reading at that time."""
        return next(one.facts for one in reversed(self.dated) if one.since <= time)

    def places(self, at: Ints) -> Ints:
        """Return for each time (n, ascending) the place in `dated` of what held."""
        since = np.fromiter((one.since for one in self.dated[1:]), np.int64, len(self.dated) - 1)
        return np.searchsorted(since, at, side="right")

    def periods(self) -> list[tuple[int, int, Facts]]:
        """Return the facts with the times start <= t < end for which they hold."""
        edges = [BEGINNING, *(one.since for one in self.dated[1:]), FOREVER]
        return [
            (start, end, one.facts)
            for (start, end), one in zip(pairwise(edges), self.dated, strict=True)
        ]

    def reporting_only_while_charging(self) -> list[tuple[int, int]]:
        """Return the times for which its silence outside of sessions means that nothing flowed."""
        return [
            (start, end)
            for start, end, facts in self.periods()
            if facts.reports_only_while_charging
        ]
