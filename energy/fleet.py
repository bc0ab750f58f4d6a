"""How well many vehicles were charged, from sums of their energy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from energy.charged import Charged
from energy.ratio import percentage, ratio
from energy.status import Status, judge
from energy.units import Ints


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """What n vehicles took, and what was drawn for them, in a time, and how much of it is known.

    `ac`, `dc` (n): nanokilowatt-hours; `ac_known_us`, `dc_known_us` (n): microseconds.
    """

    ac: Ints
    dc: Ints
    ac_known_us: Ints
    dc_known_us: Ints

    @classmethod
    def none(cls, count: int) -> Self:
        """Return the sums of n vehicles of which nothing is known."""
        return cls(*(np.zeros(count, np.int64) for _ in range(4)))

    def add(self, place: int, ac: int, dc: int, ac_known_us: int, dc_known_us: int) -> None:
        """Add what else is known of the vehicle at a place."""
        self.ac[place] += ac
        self.dc[place] += dc
        self.ac_known_us[place] += ac_known_us
        self.dc_known_us[place] += dc_known_us


class Charge(NamedTuple):
    """How well a vehicle was charged; energies in nanokilowatt-hours, None if nothing is known."""

    vehicle_id: str
    status: Status
    ac: int | None
    dc: int | None
    vehicle_coverage: float
    meter_coverage: float

    @property
    def ratio(self) -> float | None:
        return ratio(self.ac, self.dc)

    @property
    def percentage(self) -> float | None:
        return percentage(self.ac, self.dc)

    @property
    def is_anomaly(self) -> bool:
        """Whether it stands out: more was delivered than drawn, or it is poorer than optimal."""
        return self.status in {Status.IMPLAUSIBLE, Status.DEGRADED, Status.CRITICAL}

    @property
    def place(self) -> tuple[int, float, str]:
        """Its place among those that stand out: first the implausible, then by rising ratio."""
        weight = self.ratio or 0.0
        if self.status is Status.IMPLAUSIBLE:
            return 0, -weight, self.vehicle_id
        return 1, weight, self.vehicle_id


def charges(
    vehicles: Sequence[str], sums: Sums, charged: Charged, start: int, end: int
) -> list[Charge]:
    """Return how well each vehicle was charged in start < t <= end (µs since 1970).

    `charged` is of the vehicles, in their order, in the same time.
    """
    asked = np.zeros(len(vehicles), np.int64)
    parts = charged.parts
    np.add.at(asked, parts.owner, parts.ends - parts.starts)
    return [
        Charge(
            vehicle,
            judge(
                ac,
                dc,
                has_meter=has_meter,
                is_covered=0 < asked_us <= 2 * ac_us and end - start <= 2 * dc_us,
            ),
            ac if ac or ac_us else None,
            dc if dc or dc_us else None,
            dc_us / (end - start),
            ac_us / max(asked_us, 1),
        )
        for vehicle, ac, dc, ac_us, dc_us, asked_us, has_meter in zip(
            vehicles,
            sums.ac.tolist(),
            sums.dc.tolist(),
            sums.ac_known_us.tolist(),
            sums.dc_known_us.tolist(),
            asked.tolist(),
            charged.has_meter.tolist(),
            strict=True,
        )
    ]
