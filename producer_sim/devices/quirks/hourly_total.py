"""Counters whose value changes once an hour."""

from producer_sim.devices.quirks.charges import HOUR_US
from producer_sim.devices.quirks.device import Life, Register


class HourlyTotal(Register):
    """It shows what it had counted at the last full hour of its own clock."""

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        interval = life.interval_us
        self._minute = life.drawn("minute", 0, HOUR_US // interval) * interval

    def told(self, at: int) -> int:
        return self.life.energy((at - self._minute) // HOUR_US * HOUR_US + self._minute)
