"""Counters that show far too much for a few samples."""

from producer_sim.devices.quirks.charges import HOUR_US
from producer_sim.devices.quirks.device import NANO, Register
from producer_sim.devices.quirks.mishaps import is_wrong, last_right

_HEIGHTS = (570 * NANO, 5_700 * NANO, 99_999 * NANO)


class Spikes(Register):
    """It jumps up, and comes back."""

    def shows(self, at: int) -> int:
        if not is_wrong(self.life, at):
            return super().shows(at)
        height = _HEIGHTS[self.life.drawn(f"height {at // (2 * HOUR_US)}", 0, len(_HEIGHTS))]
        return super().shows(at) + height

    def told(self, at: int) -> int:
        return self.life.energy(last_right(self.life, at))
