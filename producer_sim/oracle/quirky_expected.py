"""What the product must answer about the pairs with quirks. Pure.

What a device tells until a time (`told`) is the energy that its readings determine, or, within one
reading, its share. Only devices of which nobody can know what they mean are excused: another AC
must come with one of the quirk's reasons.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np

from producer_sim.devices.quirks.device import Device
from producer_sim.devices.quirks.pairs import Pair, Pairs
from producer_sim.devices.quirks.quirk import REASONS
from producer_sim.oracle.expected import Expected, Figures, hours_of, is_telling, unless_unknown
from producer_sim.oracle.schedule import Schedule
from producer_sim.oracle.spans import Span, without
from producer_sim.oracle.truth import HOUR_US

_DEGRADED_BELOW, _CRITICAL_BELOW = 850, 750
_EVER = (0, 2**62)


class QuirkyExpectation:
    """The right answers for the vehicles of pairs with quirks."""

    def __init__(self, pairs: Pairs) -> None:
        self.run = pairs
        self.pairs = [Witnessed(pair, pairs) for pair in pairs.pairs]

    def of(self, window: Span) -> Iterator[Expected]:
        """Yield the right answer for every vehicle."""
        return (pair.expected(window) for pair in self.pairs)

    def hours(self, index: int, window: Span) -> dict[int, Figures]:
        """Return the figures of the hours of a window, for one vehicle."""
        return self.pairs[index].hours(window)


class Witnessed:
    """A pair, when its devices were read, and what they told."""

    def __init__(self, pair: Pair, pairs: Pairs) -> None:
        self.pair = pair
        self.run = pairs

    @property
    def sessions(self) -> list[Span]:
        """The charges that are entered."""
        return list(self.pair.sessions(self.run.end_us))

    def energies(self, start: int, end: int) -> Span:
        """Return AC and DC of a time that begins and ends at a reading or with a charge."""
        start, end = (
            min(max(at, self.run.start_us), self.pair.meter.life.last_at) for at in (start, end)
        )
        drawn = self.pair.drawn_nano if self._excuses else self.pair.meter_told
        return drawn(start, end), self.pair.vehicle_told(start, end)

    def expected(self, window: Span) -> Expected:
        """Return the right answer about a window."""
        ac, dc = self.energies(*window)
        meter, vehicle = self._meter, self._vehicle
        one = Expected(
            vehicle_id=self.pair.vehicle_id,
            ac=unless_unknown(ac, meter.known([window])),
            dc=unless_unknown(dc, vehicle.known([window])),
            meter_coverage=meter.coverage(window),
            vehicle_coverage=vehicle.coverage(window),
            meter_readings=meter.count(*window),
            vehicle_readings=vehicle.count(*window),
            sessions=sum(start < window[1] and end > window[0] for start, end in self.sessions),
            has_meter=True,
            reasons=(),
            planted=_condition(self.pair.charges.efficiency),
            is_telling=False,
            excuses=self._excuses,
        )
        lived = {
            "ac_lived": self.pair.drawn_nano(*window),
            "dc_lived": self.pair.taken_nano(*window),
        }
        return replace(one, is_telling=is_telling(one, window, **lived))

    def hours(self, window: Span) -> dict[int, Figures]:
        """Return the figures of the hours of a window."""
        hours = hours_of(window)
        known = zip(self._meter.known_in(hours), self._vehicle.known_in(hours), strict=True)
        found: dict[int, Figures] = {}
        for (start, end), (of_meter, of_vehicle) in zip(hours, known, strict=True):
            ac, dc = self.energies(start, end)
            found[start // HOUR_US * HOUR_US] = (
                unless_unknown(ac, of_meter),
                unless_unknown(dc, of_vehicle),
                self._vehicle.count(start, end),
            )
        return found

    @property
    def _excuses(self) -> tuple[str, ...]:
        return REASONS.get(self.pair.quirk, ())

    @cached_property
    def _meter(self) -> Schedule:
        return self._schedule(self.pair.meter)

    @cached_property
    def _vehicle(self) -> Schedule:
        return self._schedule(self.pair.vehicle)

    def _schedule(self, device: Device) -> Schedule:
        run = self.run
        first = -(-run.start_us // run.interval_us) * run.interval_us
        at = [
            time
            for whole in range(first, run.end_us, run.interval_us)
            for time in device.sent(whole)
            if time >= run.start_us
        ]
        tells_silence = device.facts().get("reportsOnlyWhileCharging", False)
        return Schedule(
            np.array(at, dtype=np.int64),
            is_register=device.reading_kind == "register",
            interval_us=device.interval_us,
            silence=without([_EVER], self.sessions) if tells_silence else (),
        )


def _condition(efficiency: int) -> str:
    if efficiency < _CRITICAL_BELOW:
        return "critical"
    return "degraded" if efficiency < _DEGRADED_BELOW else "sound"
