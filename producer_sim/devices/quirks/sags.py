"""Counters of cars that sag a little, and recover."""

from producer_sim.devices.quirks.charges import HOUR_US
from producer_sim.devices.quirks.device import NANO, Register
from producer_sim.devices.quirks.mishaps import is_wrong, last_right


class Sags(Register):
    """It shows 0.02 to 0.32 kWh too little for a few samples. That may still be a rise."""

    def shows(self, at: int) -> int:
        return self.starts_at + self._counted(at)

    def told(self, at: int) -> int:
        right = last_right(self.life, at)
        samples = range(right, at + 1, self.life.interval_us)
        return max(self._counted(sample) for sample in samples)

    def _counted(self, at: int) -> int:
        if not is_wrong(self.life, at):
            return self.life.energy(at)
        depth = self.life.drawn(f"depth {at // (2 * HOUR_US)}", 2, 33)
        return self.life.energy(at) - depth * NANO // 100
