"""Whole microseconds and whole nanokilowatt-hours (1e-9 kWh), in which everything is counted.

A reading is a decimal number, so sums of whole nanokilowatt-hours are the decimals that one would
get by hand, in any order: 1.2 kWh less 1.1 kWh is 0.1 kWh.
"""

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

NANO = 1_000_000_000
SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US

# Above this, the last digit of a double is worth more than a tenth of a nanokilowatt-hour.
_EXACT_TO_KWH = 2.0**19


def to_nano(kwh: NDArray[np.float64]) -> Ints:
    """Return energies (n) in kWh as whole nanokilowatt-hours: of the decimals that were meant."""
    nano = np.rint(kwh * NANO).astype(np.int64)
    for place in np.flatnonzero(np.abs(kwh) > _EXACT_TO_KWH):
        nano[place] = int((Decimal(repr(float(kwh[place]))) * NANO).to_integral_value())
    return nano


def to_kwh(nano: int) -> float:
    """Return whole nanokilowatt-hours as kWh, the nearest double."""
    return nano / NANO


def as_kwh(nano: int | None) -> float | None:
    """Return kWh as `to_kwh` does, and None for what is not known."""
    return None if nano is None else to_kwh(nano)
