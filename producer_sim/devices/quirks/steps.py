"""Counters that show whole steps only."""

from typing import Any

from producer_sim.devices.quirks.device import NANO, Life, Register


class Steps(Register):
    """It counts on below the step, and shows the last whole one."""

    step = NANO

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        self._rest = life.drawn("rest", 0, self.step)

    def facts(self) -> dict[str, Any]:
        return {"registerStepKwh": self.step / NANO}

    def told(self, at: int) -> int:
        return (self._rest + self.life.energy(at)) // self.step * self.step


class Tenths(Steps):
    """It shows tenths of a kWh."""

    step = NANO // 10
