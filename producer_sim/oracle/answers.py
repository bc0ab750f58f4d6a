"""Compares the product's answers with the expected ones: vehicles, fleet, anomalies. Pure.

An energy is null if nothing is known of it, and only then.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from producer_sim.devices.quirks.device import NANO
from producer_sim.oracle.expected import BANDS, Expected, Figures
from producer_sim.oracle.spans import Span
from producer_sim.oracle.truth import HOUR_US
from producer_sim.oracle.verdict import MOST_EXAMPLES, Check, Violation
from telemetry.timestamps import format_timestamp, parse_timestamp

CHECKS = (
    "wrong_energy",
    "wrong_coverage",
    "wrong_status",
    "wrong_hours",
    "wrong_fleet",
    "missed_fault",
    "false_fault",
)
STATUSES = (*BANDS, "implausible", "insufficient_data", "no_meter")
_SHOWN_OF = "chargers shown: "
_ABSOLUTE, _RELATIVE = 1e-6, 1e-9
_PERFORMANCE, _METER, _SESSIONS = "performance", "meter", "sessions"
_FLEET, _ANOMALIES = "fleet", "anomalies"


class Findings:
    """The violations found by each check, and how many answers were compared."""

    def __init__(self) -> None:
        self.violations: Counter[str] = Counter()
        self.examples: dict[str, list[Violation]] = {name: [] for name in CHECKS}
        self.totals: Counter[str] = Counter()

    def add(
        self, check: str, asked: str, window: Span, problem: str, *, vehicle: str | None = None
    ) -> None:
        self.violations[check] += 1
        if len(self.examples[check]) < MOST_EXAMPLES:
            until = f"until {format_timestamp(window[1])}: {problem}"
            self.examples[check].append(Violation(asked, None, None, vehicle, window[0], until))

    def checks(self, *, complete: bool) -> tuple[Check, ...]:
        """Return the checks; `complete`: every request was answered."""
        compared = dict.fromkeys(CHECKS, complete)
        compared["wrong_fleet"] &= self.totals["answers about fleets"] > 0
        compared["missed_fault"] &= any(self.totals[_SHOWN_OF + one] > 0 for one in BANDS[1:])
        return tuple(
            Check(name, self.violations[name], tuple(self.examples[name]), compared[name])
            for name in CHECKS
        )


def compare_vehicle(
    answer: dict[str, Any], expected: Expected, window: Span, findings: Findings
) -> Expected:
    """Compare one vehicle's answer: energy, quality and status.

    Return what other answers about this window must agree with.
    """
    findings.totals["answers about vehicles"] += 1
    allowed = _allowed(answer, expected)
    wanted = [
        *_energy_and_quality(answer, allowed),
        ("wrong_status", "status", answer["efficiency"]["status"], allowed.status),
        ("wrong_status", "sessions", answer["sessions"], allowed.sessions),
    ]
    _compare(wanted, _PERFORMANCE, allowed, window, findings)
    return allowed


def compare_meter(
    answer: dict[str, Any], expected: Expected, window: Span, findings: Findings
) -> None:
    """Compare the answer about a meter that charges one vehicle only, and all of the time."""
    findings.totals["answers about meters"] += 1
    allowed = _allowed(answer, expected)
    wanted = _energy_and_quality(answer, allowed)
    shares = [(one["vehicleId"], one["acKwh"], one["dcKwh"]) for one in answer["vehicles"]]
    own = (allowed.vehicle_id, answer["energy"]["acKwh"], answer["energy"]["dcKwh"])
    wanted.append(("wrong_energy", "shares", shares, [own]))
    _compare(wanted, _METER, allowed, window, findings)


def compare_sessions(
    items: list[dict[str, Any]],
    charges: dict[Span, tuple[int, int]],
    vehicle: str,
    window: Span,
    findings: Findings,
) -> None:
    """Compare the energies of a vehicle's charges: (start, end) → AC and DC."""
    said = {
        (parse_timestamp(one["startedAt"]), one["endedAt"] and parse_timestamp(one["endedAt"])): one
        for one in items
    }
    for charge, (ac, dc) in charges.items():
        findings.totals["answers about sessions"] += 1
        one = said.get(charge, {})
        for name, energy in (("acKwh", ac), ("dcKwh", dc)):
            if not _same(one.get(name), _kwh(energy)):
                began = format_timestamp(charge[0])
                problem = f"the session of {began}: {name} {one.get(name)}, not {_kwh(energy)}"
                findings.add("wrong_energy", _SESSIONS, window, problem, vehicle=vehicle)


def compare_hours(
    hours: list[dict[str, Any]],
    true: dict[int, Figures],
    expected: Expected,
    window: Span,
    findings: Findings,
) -> None:
    """Compare the hours of one vehicle's answer; `expected` is that of the window."""
    said = {parse_timestamp(hour["start"]) // HOUR_US * HOUR_US: hour for hour in hours}
    for at, (ac, dc, readings) in true.items():
        findings.totals["answers about hours"] += 1
        hour = said.get(at, {})
        there = [hour.get(name) for name in ("acKwh", "dcKwh", "readings")]
        wanted = [_kwh(ac), _kwh(dc), readings]
        if expected.is_excused and ac is not None and there[0] is not None:
            wanted[0] = there[0]
        if not all(map(_same, there, wanted)):
            problem = f"the hour {format_timestamp(at)}: AC, DC, readings {there}, not {wanted}"
            vehicle = expected.vehicle_id
            findings.add("wrong_hours", _PERFORMANCE, window, problem, vehicle=vehicle)


def _allowed(answer: dict[str, Any], expected: Expected) -> Expected:
    ac, quality = answer["energy"]["acKwh"], answer["quality"]
    nano = None if ac is None else round(ac * NANO)
    return expected.allowing(nano, quality["meterCoverage"], quality["reasons"])


def _energy_and_quality(
    answer: dict[str, Any], expected: Expected
) -> list[tuple[str, str, object, object]]:
    energy, quality = answer["energy"], answer["quality"]
    ac, dc = expected.ac, expected.dc
    loss = None if ac is None or dc is None else ac - dc
    ratio = None if not ac or dc is None else dc / ac
    return [
        ("wrong_energy", "AC kWh", energy["acKwh"], _kwh(ac)),
        ("wrong_energy", "DC kWh", energy["dcKwh"], _kwh(dc)),
        ("wrong_energy", "loss kWh", energy["lossKwh"], _kwh(loss)),
        ("wrong_energy", "ratio", answer["efficiency"]["ratio"], ratio),
        ("wrong_coverage", "AC coverage", quality["meterCoverage"], expected.meter_coverage),
        ("wrong_coverage", "DC coverage", quality["vehicleCoverage"], expected.vehicle_coverage),
        ("wrong_coverage", "AC readings", quality["meterReadings"], expected.meter_readings),
        ("wrong_coverage", "DC readings", quality["vehicleReadings"], expected.vehicle_readings),
        ("wrong_status", "reasons", sorted(quality["reasons"]), sorted(expected.reasons)),
    ]


def _compare(
    wanted: list[tuple[str, str, object, object]],
    asked: str,
    expected: Expected,
    window: Span,
    findings: Findings,
) -> None:
    for check, name, said, true in wanted:
        if not _same(said, true):
            problem = f"{name} {said}, not {true}"
            findings.add(check, asked, window, problem, vehicle=expected.vehicle_id)


def compare_fleet(
    answer: dict[str, Any],
    expected: Sequence[Expected],
    window: Span,
    findings: Findings,
    *,
    exact: bool,
) -> None:
    """Compare the fleet's answer. It is skipped if other vehicles are known, unless `exact`."""
    said = answer["vehicles"]
    if said["total"] > len(expected) and not exact:
        findings.totals["fleets not compared: other vehicles are known"] += 1
        return
    findings.totals["answers about fleets"] += 1
    judged = [one for one in expected if one.status in BANDS]
    ac, dc = sum(one.ac or 0 for one in judged), sum(one.dc or 0 for one in judged)
    true: dict[str, object] = {"total": len(expected), "AC kWh": _kwh(ac), "DC kWh": _kwh(dc)}
    true |= {status: sum(one.status == status for one in expected) for status in STATUSES}
    true["ratio"] = dc / ac if ac else None
    answered = said | {
        "AC kWh": answer["energy"]["acKwh"],
        "DC kWh": answer["energy"]["dcKwh"],
        "ratio": answer["efficiency"]["ratio"],
    }
    for name, value in true.items():
        if not _same(answered.get(name), value):
            findings.add("wrong_fleet", _FLEET, window, f"{name} {answered.get(name)}, not {value}")


def compare_anomalies(
    items: list[dict[str, Any]],
    expected: Sequence[Expected],
    window: Span,
    findings: Findings,
    *,
    exact: bool,
) -> None:
    """Compare the listed vehicles: their status and energies, and the planted faults."""
    found = {item["vehicleId"]: item for item in items}
    for one in expected:
        item = found.pop(one.vehicle_id, None)
        status = None if item is None else item["status"]
        true = one.status if one.is_anomaly else None
        if status != true:
            problem = f"listed as {status}, not {true}"
            findings.add("wrong_status", _ANOMALIES, window, problem, vehicle=one.vehicle_id)
        elif item is not None:
            wanted = {"acKwh": _kwh(one.ac), "dcKwh": _kwh(one.dc)}
            for name, value in wanted.items():
                if not _same(item[name], value):
                    problem = f"{name} {item[name]}, not {value}"
                    findings.add(
                        "wrong_energy", _ANOMALIES, window, problem, vehicle=one.vehicle_id
                    )
        _judge_fault(one, status, window, findings)
    if exact:
        for vehicle in found:
            findings.add(
                "false_fault", _ANOMALIES, window, "is not a vehicle of these runs", vehicle=vehicle
            )


def _judge_fault(one: Expected, status: str | None, window: Span, findings: Findings) -> None:
    """Check that a fault is listed if the window shows it, and that nothing else is."""
    planted = None if one.planted == "sound" else one.planted
    if not one.is_telling:
        findings.totals["planted faults that a window does not show"] += planted is not None
        return
    findings.totals[f"{_SHOWN_OF}{one.planted}"] += 1
    if status != planted:
        problem = f"listed as {status}, the charger is {one.planted}"
        check = "false_fault" if planted is None else "missed_fault"
        findings.add(check, _ANOMALIES, window, problem, vehicle=one.vehicle_id)


def _same(said: object, true: object) -> bool:
    """Return whether the two are equal; floats may differ by rounding."""
    if isinstance(true, float) and isinstance(said, int | float):
        return math.isclose(said, true, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
    return said == true


def _kwh(nano: int | None) -> float | None:
    return None if nano is None else nano / NANO
