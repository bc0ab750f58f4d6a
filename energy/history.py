"""A device's stored readings, and what they are worth."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from energy import interval, register
from energy.coverage import Known
from energy.device import Device, Kind
from energy.spans import Spans
from energy.spread import Spread
from energy.worth import Readings, Worth


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """A device's readings in a question, with the sessions that it was in.

    They reach as far back and as far on as the question needs: to a place from which on `worth`
    is that of all readings, and to the first reading after the window.
    """

    readings: Readings
    worth: Worth
    spread: Spread
    known: Known

    @classmethod
    def of(cls, readings: Readings, device: Device, charging: Spans, as_of: int) -> "History":
        """Judge readings; `charging`: when sessions ran for the device; `as_of`: now (µs)."""
        judged = worth(readings, device, as_of)
        return cls(readings, judged, Spread(judged, charging), Known.of(judged, device, charging))

    def count(self, spans: Spans) -> int:
        """Return how many readings were read in these times."""
        at = self.readings.at
        read_by_end = np.searchsorted(at, spans.ends, side="right")
        read_by_start = np.searchsorted(at, spans.starts, side="right")
        return int(np.sum(read_by_end - read_by_start))


def worth(readings: Readings, device: Device, as_of: int) -> Worth:
    """Return what a device's readings are worth; `as_of` is now, in microseconds since 1970."""
    facts = [one.facts for one in device.dated]
    places = device.places(readings.at)
    edges = np.searchsorted(places, np.arange(len(facts) + 1)).tolist()
    parts = []
    for kind, group in groupby(range(len(facts)), key=lambda place: facts[place].kind):
        dated = list(group)
        if kind is Kind.REGISTER:
            # A counter goes on, whatever else of it changes.
            part = slice(edges[dated[0]], edges[dated[-1] + 1])
            parts.append(register.worth(readings.take(part), facts, places[part], as_of))
            continue
        for place in dated:
            part = slice(edges[place], edges[place + 1])
            before_at = int(readings.at[part.start - 1]) if part.start else None
            parts.append(interval.worth(readings.take(part), facts[place], before_at))
    return Worth.joined(parts)


def is_complete_at(readings: Readings, device: Device, time: int) -> bool:
    """Return whether `worth` of what was read after a time depends on these readings alone.

    They begin somewhere in the device's history, an hour and an interval before the time at least.
    """
    periods = device.periods()
    place = next(place for place, (_, end, _) in enumerate(periods) if time < end)
    if periods[place][2].kind is Kind.INTERVAL:
        return True
    while place and periods[place - 1][2].kind is Kind.REGISTER:
        place -= 1
    begins = periods[place][0]
    if len(readings) and readings.at[0] < begins:
        return True  # the counter began within them
    facts = [one.facts for one in device.dated]
    before = readings.take(readings.at <= time)
    return register.first_known(before, facts, device.places(before.at)) is not None
