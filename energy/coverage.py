"""For how long the energy of a device is known, where it belongs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from energy.device import Device, Kind
from energy.spans import Spans
from energy.worth import Worth


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """When a device's energy is known.

    `always`: whatever is asked. `if_whole`: the long gaps of a register, as (start, end). What it
    gained in one is known, but not when: so a gap is known only within a span that has all of it.
    """

    always: Spans
    if_whole: Sequence[tuple[int, int]]

    @classmethod
    def of(cls, worth: Worth, device: Device, charging: Spans) -> Self:
        """Return what these readings tell; `charging`: when sessions ran for the device."""
        starts, ends = worth.since, worth.at
        places = device.places(ends)
        is_register = np.array([one.facts.kind is Kind.REGISTER for one in device.dated])[places]
        known_gap = np.array([one.facts.known_gap_us for one in device.dated])[places]
        is_long = is_register & (ends - starts > known_gap)
        long_gaps = zip(starts[is_long].tolist(), ends[is_long].tolist(), strict=True)
        always = Spans.of(starts[~is_long], ends[~is_long])
        for began, ended in device.reporting_only_while_charging():
            always = always.union(Spans.of_pairs([(began, ended)]).without(charging))
        return cls(always, list(long_gaps))

    def within(self, spans: Spans) -> int:
        """Return for how long the energy is known within spans, in microseconds."""
        known = int(
            np.sum(self.always.length_until(spans.ends) - self.always.length_until(spans.starts))
        )
        if not self.if_whole:
            return known
        return known + sum(
            gap_end - gap_start
            for start, end in spans.pairs()
            for gap_start, gap_end in self.if_whole
            if start <= gap_start and gap_end <= end
        )
