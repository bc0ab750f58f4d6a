"""Answers as the product would give them, made from what is expected; and what is found in them."""

from collections.abc import Callable
from typing import Any

from producer_sim.devices.quirks.device import NANO
from producer_sim.oracle.answers import Findings
from producer_sim.oracle.expected import Expected, Figures
from producer_sim.oracle.spans import Span
from telemetry.timestamps import format_timestamp

Answer = dict[str, Any]


def kwh(nano: int | None) -> float | None:
    """Return kWh of nanokilowatt-hours."""
    return None if nano is None else nano / NANO


def performance(one: Expected) -> Answer:
    """Return the right answer about a vehicle, or about the meter that charges it alone."""
    ac, dc = one.ac, one.dc
    return {
        "energy": {
            "acKwh": kwh(ac),
            "dcKwh": kwh(dc),
            "lossKwh": None if ac is None or dc is None else kwh(ac - dc),
        },
        "efficiency": {"ratio": dc / ac if ac and dc is not None else None, "status": one.status},
        "quality": {
            "meterCoverage": one.meter_coverage,
            "vehicleCoverage": one.vehicle_coverage,
            "meterReadings": one.meter_readings,
            "vehicleReadings": one.vehicle_readings,
            "reasons": list(one.reasons),
        },
        "sessions": one.sessions,
        "vehicles": [{"vehicleId": one.vehicle_id, "acKwh": kwh(ac), "dcKwh": kwh(dc)}],
    }


def hours(true: dict[int, Figures], window: Span) -> list[Answer]:
    """Return the right hours of an answer."""
    return [
        {
            "start": format_timestamp(max(at, window[0])),
            "acKwh": kwh(ac),
            "dcKwh": kwh(dc),
            "readings": readings,
        }
        for at, (ac, dc, readings) in true.items()
    ]


def violated(compare: Callable[[Findings], object]) -> set[str]:
    """Return the checks that a comparison finds violated."""
    findings = Findings()
    compare(findings)
    return {check.name for check in findings.checks(complete=True) if check.violations}
