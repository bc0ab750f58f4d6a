"""What the slow reference is asked about: devices with dated facts, sessions, assignments.

Times are whole microseconds since 1970, energy whole nanokilowatt-hours.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
KWH = 1_000_000_000
EVER = 10**18


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a device for its readings at `since` and later."""

    since: int = -EVER
    register: bool = False
    interval: int = MINUTE
    capacity_kw: Fraction | None = None
    modulus: int | None = None
    step: int = KWH
    only_while_charging: bool = False

    def possible(self, time: int) -> Fraction:
        """Return the most energy that the device can count in `time`."""
        kw = Fraction(1000) if self.capacity_kw is None else self.capacity_kw * Fraction(11, 10)
        return kw * KWH * time / HOUR


@dataclass(frozen=True)
class Reading:
    """What a device sent: its energy in an interval, or the state of its register."""

    at: int
    value: int


@dataclass(frozen=True)
class Device:
    """A meter or a vehicle."""

    name: str
    facts: tuple[Facts, ...] = (Facts(),)
    readings: tuple[Reading, ...] = ()

    def facts_at(self, at: int) -> Facts:
        """Return the facts that hold for a reading at `at`."""
        return max((facts for facts in self.facts if facts.since <= at), key=lambda f: f.since)


@dataclass(frozen=True)
class Stay:
    """A session of a vehicle on a meter, or its assignment to one: start < t <= end."""

    meter: str
    vehicle: str
    start: int
    end: int = EVER


@dataclass(frozen=True)
class World:
    """All devices, and who charged where."""

    meters: tuple[Device, ...] = ()
    vehicles: tuple[Device, ...] = ()
    sessions: tuple[Stay, ...] = ()
    assignments: tuple[Stay, ...] = ()
    as_of: int = EVER


Span = tuple[int, int]


def united(spans: Iterable[Span]) -> list[Span]:
    """Return the same times as spans that neither overlap nor touch."""
    whole: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(whole[-1][1], end))
        else:
            whole.append((start, end))
    return whole


def within(spans: Iterable[Span], start: int, end: int) -> list[Span]:
    """Return the parts of the spans between `start` and `end`."""
    cut = [(max(a, start), min(b, end)) for a, b in spans]
    return [(a, b) for a, b in cut if a < b]


def length(spans: Iterable[Span]) -> int:
    """Return how long the spans are together."""
    return sum(end - start for start, end in spans)
