"""A device that behaves well. The quirks are derived from it.

`shows` is what a reading says, `told` the energy that all readings up to a time account for by the
rules of docs/energy.md; both in nanokilowatt-hours. `told` may be asked at whole intervals.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from producer_sim.devices.quirks.chance import drawn
from producer_sim.devices.quirks.charges import Charges

NANO = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What is true of a device, whatever it sends: `energy` is what flowed up to a time."""

    seed: int
    pair: int
    interval_us: int
    start: int
    end: int
    charges: Charges
    energy: Callable[[int], int]

    def drawn(self, what: str, lowest: int, highest: int) -> int:
        return drawn(self.seed, self.pair, what, lowest, highest)

    @property
    def last_at(self) -> int:
        """The last whole interval of the run."""
        return (self.end - 1) // self.interval_us * self.interval_us


class Device:
    """It sends the energy of each interval, at whole intervals."""

    reading_kind = "interval"

    def __init__(self, life: Life) -> None:
        self.life = life

    @property
    def interval_us(self) -> int:
        return self.life.interval_us

    def facts(self) -> dict[str, Any]:
        """Return what is registered of it beside its kind, interval and capacity."""
        return {}

    def sent(self, at: int) -> tuple[int, ...]:
        """Return the times of the readings that it sends at a whole interval."""
        return (at,)

    def shows(self, at: int) -> int:
        return self.life.energy(at) - self.life.energy(at - self.interval_us)

    def told(self, at: int) -> int:
        return self.life.energy(at)


class Register(Device):
    """It sends a counter, which was read for the first time when the run began."""

    reading_kind = "register"

    @property
    def starts_at(self) -> int:
        return self.life.drawn("counter", 10_000, 90_000) * NANO

    def shows(self, at: int) -> int:
        return self.starts_at + self.told(at)
