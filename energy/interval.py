"""Devices whose readings are the energy since the reading before."""

import numpy as np

from energy.device import most_possible
from energy.readings import Readings
from energy.worth import Doubt, Worth


def worth(readings: Readings) -> Worth:
    """Return what the readings are worth, as if all devices were interval devices.

    A reading covers the device's interval, but no time before the previous reading. One of more
    than is possible in an interval is worth nothing.
    """
    interval = np.array([one.interval_us for one in readings.facts], np.int64)[readings.held]
    most = np.array(
        [most_possible(one.power, one.interval_us) for one in readings.facts], np.float64
    )[readings.held]
    claimed = readings.at - interval
    before = np.concatenate((claimed[:1], readings.at[:-1]))
    before[readings.is_first()] = claimed[readings.is_first()]
    is_too_much = readings.value > most
    # The times that it and the reading before claim overlap by more than half.
    overlaps = 2 * (before - claimed) > interval
    doubts = np.where(is_too_much, int(Doubt.IMPLAUSIBLE_READING), 0)
    doubts[overlaps] |= int(Doubt.OVERLAPPING)
    return Worth(
        readings.at, np.maximum(claimed, before), np.where(is_too_much, 0, readings.value), doubts
    )
