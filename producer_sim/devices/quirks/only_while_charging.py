"""Vehicles that report only while they charge."""

from typing import Any

from producer_sim.devices.quirks.device import Device


class OnlyWhileCharging(Device):
    """It sends the intervals in which energy flowed."""

    def facts(self) -> dict[str, Any]:
        return {"reportsOnlyWhileCharging": True}

    def sent(self, at: int) -> tuple[int, ...]:
        return (at,) if self.shows(at) else ()
