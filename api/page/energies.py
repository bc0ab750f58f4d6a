"""An hour's energy, and a time that is shown as a band. Pure."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class HourEnergy:
    """kWh of a UTC hour, or of the part of it that was asked about."""

    start: datetime
    end: datetime
    ac_kwh: float
    dc_kwh: float

    @property
    def ratio(self) -> float | None:
        return self.dc_kwh / self.ac_kwh if self.ac_kwh else None


@dataclass(frozen=True, slots=True)
class Band:
    """A time with what it stands for: in a word, where that fits, and in full."""

    start: datetime
    end: datetime
    label: str
    title: str
