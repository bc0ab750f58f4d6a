"""Energies of AC and DC and their ratio, and those of an hour. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

# A vehicle is optimal from the first ratio on, degraded from the second, and critical below.
OPTIMAL, DEGRADED = 0.85, 0.75
# With less energy or coverage nothing is judged: the ratio would show little but standing losses.
LEAST_KWH, LEAST_COVERAGE = 0.1, 0.5


class Energy(NamedTuple):
    """kWh drawn as AC, and delivered as DC."""

    ac_kwh: float
    dc_kwh: float

    @property
    def ratio(self) -> float | None:
        return self.dc_kwh / self.ac_kwh if self.ac_kwh else None


def total(energies: Iterable[Energy]) -> Energy:
    """Return the sum of energies."""
    known = list(energies)
    return Energy(sum(one.ac_kwh for one in known), sum(one.dc_kwh for one in known))


@dataclass(frozen=True, slots=True)
class HourEnergy:
    """The energy of a UTC hour, or of the part of it that lies in the window."""

    start: datetime
    end: datetime
    energy: Energy
    judged: Energy
    """The part of it from which the ratio is computed."""

    @property
    def ratio(self) -> float | None:
        return self.judged.ratio
