"""Energies and their ratio, an hour's energy, and a time that is shown as a band. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

# Ratios from which a vehicle is optimal, and degraded.
OPTIMAL, DEGRADED = 0.85, 0.75
# Of less than these nothing is judged; an hour's ratio would be that of a few standing losses.
LEAST_KWH, LEAST_COVERAGE = 0.1, 0.5


class Energy(NamedTuple):
    """kWh drawn as AC, and delivered as DC."""

    ac_kwh: float
    dc_kwh: float

    @property
    def ratio(self) -> float | None:
        return self.dc_kwh / self.ac_kwh if self.ac_kwh else None


def total(energies: Iterable[Energy]) -> Energy:
    known = list(energies)
    return Energy(sum(one.ac_kwh for one in known), sum(one.dc_kwh for one in known))


@dataclass(frozen=True, slots=True)
class HourEnergy:
    """What was drawn and delivered in a UTC hour, or in the part of it that was asked about."""

    start: datetime
    end: datetime
    energy: Energy
    judged: Energy
    """As much of it as the ratio is computed of."""

    @property
    def ratio(self) -> float | None:
        return self.judged.ratio


@dataclass(frozen=True, slots=True)
class Band:
    """A time with what it stands for: in a word, where that fits, and in full."""

    start: datetime
    end: datetime
    label: str
    title: str
