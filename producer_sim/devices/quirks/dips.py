"""Counters that show zero or an old value for a few samples."""

from typing import Any

from producer_sim.devices.quirks.charges import HOUR_US
from producer_sim.devices.quirks.device import Register
from producer_sim.devices.quirks.mishaps import is_wrong, last_right


class Dips(Register):
    """It shows nine tenths of its first value, or zero, and then goes on."""

    def shows(self, at: int) -> int:
        if not is_wrong(self.life, at):
            return super().shows(at)
        return self.life.drawn(f"low {at // (2 * HOUR_US)}", 0, 2) * self.starts_at * 9 // 10

    def told(self, at: int) -> int:
        return self.life.energy(last_right(self.life, at))


class UnratedDips(Dips):
    """The same, of a meter whose rating nobody knows."""

    def facts(self) -> dict[str, Any]:
        return {"capacityKw": None}
