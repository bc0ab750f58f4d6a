"""Devices that send each message twice, a second apart."""

from producer_sim.devices.quirks.charges import SECOND_US
from producer_sim.devices.quirks.device import Device


class Twice(Device):
    """The messages differ in their time only, so that neither is a duplicate of the other."""

    def sent(self, at: int) -> tuple[int, ...]:
        return (at - SECOND_US, at)

    def shows(self, at: int) -> int:
        return super().shows(-(-at // self.interval_us) * self.interval_us)

    def told(self, at: int) -> int:
        return 2 * self.life.energy(at)
