"""Meters that send the energy of each quarter of an hour."""

from producer_sim.devices.quirks.charges import MINUTE_US
from producer_sim.devices.quirks.device import Device

QUARTER_US = 15 * MINUTE_US


class QuarterHours(Device):
    """Its readings last longer than those of its vehicle, and reach over the edges of charges."""

    @property
    def interval_us(self) -> int:
        return QUARTER_US

    def sent(self, at: int) -> tuple[int, ...]:
        return () if at % QUARTER_US else (at,)

    def told(self, at: int) -> int:
        # The rest of the last quarter is never told.
        return self.life.energy(min(at, self.life.last_at // QUARTER_US * QUARTER_US))
