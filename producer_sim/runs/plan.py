"""The plan of a run: the options of `run` as one value."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from producer_sim.devices.chaos import Shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run sends. Times are in microseconds; `duration_us` None: the run has no end.

    `registers`: the share of meters that are registers, in a run with a world, which needs an end.
    None: there is no world; every device sends intervals, and every vehicle has its own charger.
    `quirks`: the share of pairs that behave as real devices do, in a run with a world.
    """

    devices: int
    interval_us: int
    seed: int
    start_us: int
    duration_us: int | None
    fleet_name: str | None
    shares: Shares
    registers: float | None = None
    quirks: float = 0.0

    @property
    def end_us(self) -> int | None:
        return None if self.duration_us is None else self.start_us + self.duration_us

    @property
    def quirky_devices(self) -> int:
        """How many of the pairs have a quirk; their numbers are the highest."""
        return round(self.quirks * self.devices)

    @property
    def expected_readings(self) -> int | None:
        """About how many readings the fleet makes, for a progress bar."""
        if self.duration_us is None:
            return None
        return math.ceil(2 * self.devices * self.duration_us / self.interval_us)

    def described(self) -> dict[str, Any]:
        """Return the plan for the ledger's metadata."""
        return asdict(self)
