"""Devices whose readings are the energy since the reading before."""

import numpy as np

from energy.device import Facts, most_possible
from energy.units import Ints
from energy.worth import Doubt, Readings, Worth


def worth(readings: Readings, facts: Facts, before_at: int | None) -> Worth:
    """Return what the readings are worth; `before_at` is when the one before them was read.

    A reading covers the device's interval, but no time before the previous reading. One of more
    than is possible in an interval is worth nothing.
    """
    interval = facts.interval_us
    since = readings.at - interval
    before = _before(readings.at, before_at)
    doubts = np.zeros(len(readings), np.int64)
    is_too_much = readings.value > most_possible(facts.power, facts.interval_us)
    doubts[is_too_much] = Doubt.IMPLAUSIBLE_READING
    # The times that the two claim overlap by more than half.
    doubts[2 * (readings.at - before) < interval] |= Doubt.OVERLAPPING
    energy = np.where(is_too_much, 0, readings.value)
    return Worth(readings.at, np.maximum(since, before), energy, doubts)


def _before(at: Ints, before_at: int | None) -> Ints:
    before = np.empty_like(at)
    before[1:] = at[:-1]
    if len(before):
        before[0] = np.iinfo(np.int64).min // 4 if before_at is None else before_at
    return before
