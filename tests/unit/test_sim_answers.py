"""The expected answers, and that every wrong answer is found."""

from collections.abc import Callable
from copy import deepcopy
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from producer_sim.oracle.answers import (
    STATUSES,
    Findings,
    compare_anomalies,
    compare_fleet,
    compare_hours,
    compare_vehicle,
)
from producer_sim.oracle.expected import (
    BANDS,
    Expectation,
    Expected,
    Schedule,
    joined,
    windows,
    without,
)
from producer_sim.oracle.truth import Device, Truth
from telemetry.timestamps import format_timestamp
from tests.unit.worlds import HOUR_US, MINUTE_US, START_US, lived

Answer = dict[str, Any]


@cache
def run() -> tuple[Truth, list[Expected]]:
    truth, _ = lived()
    return truth, list(Expectation(truth).of((truth.start_us, truth.end_us)))


def device(kind: str = "interval") -> Device:
    return Device(
        stream="meter",
        device_id="m",
        reading_kind=kind,
        register_modulus_kwh=None,
        capacity_kw=None,
        battery_capacity_kwh=None,
        first_at=10,
        planted=None,
        jumped_at=None,
    )


@pytest.mark.parametrize(
    ("kind", "withheld", "span", "known"),
    [
        # Read at 10, 20, … 90.
        ("interval", [], (0, 100), 90),
        ("interval", [], (15, 45), 25),
        ("interval", [30], (15, 45), 15),
        ("interval", [20], (15, 45), 20),
        ("interval", [20, 30, 40], (15, 45), 0),
        ("interval", [], (20, 20), 0),
        ("interval", [], (91, 100), 0),
        ("register", [], (0, 100), 80),
        ("register", [], (15, 45), 25),
        ("register", [30], (15, 45), 25),
        ("register", [40], (15, 45), 15),
        ("register", [10], (15, 45), 20),
        ("register", [10, 20], (15, 45), 10),
        ("register", [20, 30, 40], (15, 45), 0),
    ],
)
def test_coverage_is_the_time_that_the_readings_account_for(
    kind: str, withheld: list[int], span: tuple[int, int], known: int
) -> None:
    assert Schedule(device(kind), 10, 100, withheld).known([span]) == known


def test_spans_are_joined_and_subtracted() -> None:
    assert joined([(5, 7), (0, 2), (2, 4), (6, 9)]) == [(0, 4), (5, 9)]
    assert without([(0, 10)], [(2, 4), (4, 5), (9, 20)]) == [(0, 2), (5, 9)]
    assert without([(0, 10)], [(0, 10)]) == []


def test_windows_are_the_whole_run_and_full_hours_of_it() -> None:
    truth, _ = run()
    whole, first, middle, last = windows(truth)
    assert whole == (START_US - 5 * MINUTE_US, START_US + 24 * HOUR_US)
    assert first == (whole[0], START_US)
    assert middle[1] - middle[0] == HOUR_US
    assert last == (whole[1] - HOUR_US, whole[1])


def test_planted_faults_show_and_sound_chargers_do_not() -> None:
    _, expected = run()
    shown = [one for one in expected if one.is_telling]
    assert {one.planted for one in shown} == {"sound", "degraded", "critical"}
    for one in shown:
        assert one.status == {"sound": "optimal"}.get(str(one.planted), one.planted)
    assert {one.status for one in expected} >= {"no_meter", *BANDS}
    assert {reason for one in expected for reason in one.reasons} >= {"shared_meter"}


def test_the_hours_add_up_to_the_whole_run() -> None:
    truth, whole = run()
    cuts = [truth.start_us, *range(START_US, truth.end_us + 1, HOUR_US)]
    hours = [list(Expectation(truth).of(window)) for window in pairwise(cuts)]
    for index, one in enumerate(whole):
        assert sum(hour[index].ac for hour in hours) == one.ac
        assert sum(hour[index].vehicle_readings for hour in hours) == one.vehicle_readings


def performance(one: Expected) -> Answer:
    ac, dc = one.ac / 10_000, one.dc / 10_000
    return {
        "energy": {"acKwh": ac, "dcKwh": dc, "lossKwh": ac - dc},
        "efficiency": {"ratio": dc / ac if ac else None, "status": one.status},
        "quality": {
            "meterCoverage": float(one.meter_coverage),
            "vehicleCoverage": float(one.vehicle_coverage),
            "meterReadings": one.meter_readings,
            "vehicleReadings": one.vehicle_readings,
            "reasons": list(one.reasons),
        },
        "sessions": one.sessions,
    }


def anomalies(expected: list[Expected]) -> list[Answer]:
    return [
        {
            "vehicleId": one.vehicle_id,
            "status": one.status,
            "acKwh": one.ac / 10_000,
            "dcKwh": one.dc / 10_000,
        }
        for one in expected
        if one.is_anomaly
    ]


def fleet(expected: list[Expected]) -> Answer:
    judged = [one for one in expected if one.status in BANDS]
    ac, dc = (Fraction(sum(getattr(one, side) for one in judged), 10_000) for side in ("ac", "dc"))
    counts = {status: sum(one.status == status for one in expected) for status in STATUSES}
    return {
        "vehicles": {"total": len(expected)} | counts,
        "energy": {"acKwh": float(ac), "dcKwh": float(dc)},
        "efficiency": {"ratio": float(dc / ac)},
    }


def hours(truth: Truth, index: int) -> list[Answer]:
    nothing = np.zeros((6, len(truth.vehicles)), dtype=np.int64)
    first = truth.start_us // HOUR_US * HOUR_US
    answers = []
    for at in range(first, truth.end_us, HOUR_US):
        ac, dc, _, _, _, readings = truth.hours.get(at, nothing)[:, index].tolist()
        start = format_timestamp(max(at, truth.start_us))
        answers.append(
            {"start": start, "acKwh": ac / 10_000, "dcKwh": dc / 10_000, "readings": readings}
        )
    return answers


def violated(compare: Callable[[Findings], None]) -> set[str]:
    findings = Findings()
    compare(findings)
    return {check.name for check in findings.checks(complete=True) if check.violations}


def test_right_answers_violate_nothing() -> None:
    truth, expected = run()
    window = truth.start_us, truth.end_us
    findings = Findings()
    for index, one in enumerate(expected):
        compare_vehicle(performance(one), one, window, findings)
        compare_hours(hours(truth, index), truth, index, window, findings)
    compare_fleet(fleet(expected), expected, window, findings, exact=True)
    compare_anomalies(anomalies(expected), expected, window, findings, exact=True)
    assert not any(check.violations for check in findings.checks(complete=True))
    assert findings.totals["answers about vehicles"] == len(expected)


@pytest.mark.parametrize(
    ("place", "wrong", "check"),
    [
        ("energy.acKwh", 2e-6, "wrong_energy"),
        ("energy.dcKwh", -2e-6, "wrong_energy"),
        ("efficiency.ratio", 1e-5, "wrong_energy"),
        ("quality.meterCoverage", 1e-5, "wrong_coverage"),
        ("quality.vehicleReadings", 1, "wrong_coverage"),
        ("sessions", 1, "wrong_status"),
    ],
)
def test_a_slightly_wrong_answer_is_found(place: str, wrong: float, check: str) -> None:
    truth, expected = run()
    one = next(one for one in expected if one.status == "optimal")
    answer: Answer = deepcopy(performance(one))
    *path, last = place.split(".")
    inner = answer
    for name in path:
        inner = inner[name]
    inner[last] += wrong
    window = truth.start_us, truth.end_us
    assert violated(lambda found: compare_vehicle(answer, one, window, found)) == {check}


def test_a_missed_fault_and_a_false_fault_are_found() -> None:
    truth, expected = run()
    window = truth.start_us, truth.end_us
    listed = anomalies(expected)
    faulty = {one.vehicle_id for one in expected if one.is_telling and one.is_anomaly}
    sound = next(one for one in expected if one.is_telling and one.planted == "sound")
    fewer = [item for item in listed if item["vehicleId"] != min(faulty)]
    more = [*listed, {"vehicleId": sound.vehicle_id, "status": "degraded"}]
    for items, check in ((fewer, "missed_fault"), (more, "false_fault")):
        found = violated(
            lambda found, items=items: compare_anomalies(
                items, expected, window, found, exact=False
            )  # type: ignore[misc]  # a lambda's default
        )
        assert found == {"wrong_status", check}


def test_a_check_that_has_compared_nothing_is_unchecked() -> None:
    truth, expected = run()
    window = truth.start_us, truth.end_us
    findings = Findings()
    assert not any(check.compared for check in findings.checks(complete=False))
    assert unchecked(findings) == {"wrong_fleet", "missed_fault"}
    compare_anomalies(anomalies(expected), expected, window, findings, exact=False)
    assert unchecked(findings) == {"wrong_fleet"}
    compare_fleet(fleet(expected), expected, window, findings, exact=False)
    assert unchecked(findings) == set()


def unchecked(findings: Findings) -> set[str]:
    return {check.name for check in findings.checks(complete=True) if not check.compared}


def test_a_fleet_with_other_vehicles_is_compared_only_in_an_exact_check() -> None:
    truth, expected = run()
    window = truth.start_us, truth.end_us
    answer = fleet(expected)
    answer["vehicles"]["total"] += 1
    assert not violated(lambda found: compare_fleet(answer, expected, window, found, exact=False))
    assert violated(lambda found: compare_fleet(answer, expected, window, found, exact=True)) == {
        "wrong_fleet"
    }
