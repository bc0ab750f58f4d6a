"""The expected answers, and that every wrong answer is found."""

from copy import deepcopy
from fractions import Fraction
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from producer_sim.devices.quirks.device import NANO
from producer_sim.oracle.answers import (
    STATUSES,
    Findings,
    compare_anomalies,
    compare_fleet,
    compare_hours,
    compare_vehicle,
)
from producer_sim.oracle.expected import BANDS, Expectation, Expected, windows
from producer_sim.oracle.schedule import Schedule
from producer_sim.oracle.spans import clipped, joined, without
from producer_sim.oracle.truth import Truth
from tests.unit.said import Answer, hours, kwh, performance, violated
from tests.unit.worlds import HOUR_US, MINUTE_US, START_US, lived


@cache
def run() -> tuple[Truth, Expectation, list[Expected]]:
    truth, _ = lived()
    expectation = Expectation(truth)
    return truth, expectation, list(expectation.of((truth.start_us, truth.end_us)))


def schedule(kind: str, at: list[int], interval: int = MINUTE_US) -> Schedule:
    return Schedule(np.array(at), is_register=kind == "register", interval_us=interval)


@pytest.mark.parametrize(
    ("kind", "withheld", "span", "known"),
    [
        # Read each minute from 1 to 9.
        ("interval", [], (0, 10), 9),
        ("interval", [], (1.5, 4.5), 3),
        ("interval", [3], (1.5, 4.5), 2),
        ("interval", [5], (1.5, 4.5), 2.5),
        ("interval", [2, 3, 4, 5], (1.5, 4.5), 0),
        ("interval", [], (2, 2), 0),
        ("interval", [], (9.1, 10), 0),
        ("register", [], (0, 10), 8),
        ("register", [], (1.5, 4.5), 3),
        ("register", [1, 2], (1.5, 4.5), 1.5),
        # A gap of 5 minutes is known; a longer one only if it lies whole within.
        ("register", [3, 4, 5, 6], (3.5, 4.5), 1),
        ("register", [3, 4, 5, 6, 7], (3.5, 4.5), 0),
        ("register", [3, 4, 5, 6, 7], (2.5, 9), 1),
        ("register", [3, 4, 5, 6, 7], (2, 9), 7),
        ("register", [3, 4, 5, 6, 7], (1, 7.9), 1),
    ],
)
def test_coverage_is_the_time_that_the_readings_account_for(
    kind: str, withheld: list[int], span: tuple[float, float], known: float
) -> None:
    at = [minute * MINUTE_US for minute in range(1, 10) if minute not in withheld]
    start, end = (round(edge * MINUTE_US) for edge in span)
    assert schedule(kind, at).known([(start, end)]) == known * MINUTE_US


def test_a_slow_registers_gap_of_two_intervals_is_known() -> None:
    slow = schedule("register", [0, 30 * MINUTE_US, 61 * MINUTE_US], 15 * MINUTE_US)
    assert slow.known([(MINUTE_US, 60 * MINUTE_US)]) == 29 * MINUTE_US


def test_the_readings_of_an_interval_device_are_not_counted_twice() -> None:
    twice = schedule("interval", [MINUTE_US - 1, MINUTE_US, 2 * MINUTE_US - 1, 2 * MINUTE_US])
    assert twice.known([(0, 3 * MINUTE_US)]) == 2 * MINUTE_US


def test_told_silence_is_known() -> None:
    at = np.array([10 * MINUTE_US])
    told = Schedule(at, is_register=False, interval_us=MINUTE_US, silence=[(0, 9 * MINUTE_US)])
    assert told.known([(5 * MINUTE_US, 20 * MINUTE_US)]) == 5 * MINUTE_US


def test_spans_are_joined_and_subtracted() -> None:
    assert joined([(5, 7), (0, 2), (2, 4), (6, 9)]) == [(0, 4), (5, 9)]
    assert without([(0, 10)], [(2, 4), (4, 5), (9, 20)]) == [(0, 2), (5, 9)]
    assert without([(0, 10)], [(0, 10)]) == []
    assert clipped([(0, 2), (1, 9)], 2, 5) == [(2, 5)]


def test_windows_are_the_whole_run_and_full_hours_of_it() -> None:
    truth, _, _ = run()
    whole, first, middle, last = windows(truth)
    assert whole == (START_US - 5 * MINUTE_US, START_US + 24 * HOUR_US)
    assert first == (whole[0], START_US)
    assert middle[1] - middle[0] == HOUR_US
    assert last == (whole[1] - HOUR_US, whole[1])


def test_planted_faults_show_and_sound_chargers_do_not() -> None:
    _, _, expected = run()
    shown = [one for one in expected if one.is_telling]
    assert {one.planted for one in shown} == {"sound", "degraded", "critical"}
    for one in shown:
        assert one.status == {"sound": "optimal"}.get(str(one.planted), one.planted)
    assert {one.status for one in expected} >= {"no_meter", *BANDS}
    assert {reason for one in expected for reason in one.reasons} >= {"shared_meter"}


def test_the_hours_add_up_to_the_whole_run() -> None:
    truth, expectation, whole = run()
    cuts = [truth.start_us, *range(START_US, truth.end_us + 1, HOUR_US)]
    hours = [list(expectation.of(window)) for window in pairwise(cuts)]
    for index, one in enumerate(whole):
        assert sum(hour[index].ac or 0 for hour in hours) == (one.ac or 0)
        assert sum(hour[index].vehicle_readings for hour in hours) == one.vehicle_readings


def anomalies(expected: list[Expected]) -> list[Answer]:
    return [
        {
            "vehicleId": one.vehicle_id,
            "status": one.status,
            "acKwh": kwh(one.ac),
            "dcKwh": kwh(one.dc),
        }
        for one in expected
        if one.is_anomaly
    ]


def fleet(expected: list[Expected]) -> Answer:
    judged = [one for one in expected if one.status in BANDS]
    ac, dc = (Fraction(sum(getattr(one, side) for one in judged), NANO) for side in ("ac", "dc"))
    counts = {status: sum(one.status == status for one in expected) for status in STATUSES}
    return {
        "vehicles": {"total": len(expected)} | counts,
        "energy": {"acKwh": float(ac), "dcKwh": float(dc)},
        "efficiency": {"ratio": float(dc / ac)},
    }


def test_right_answers_violate_nothing() -> None:
    truth, expectation, expected = run()
    window = truth.start_us, truth.end_us
    findings = Findings()
    for index, one in enumerate(expected):
        true = expectation.hours(index, window)
        assert compare_vehicle(performance(one), one, window, findings) == one
        compare_hours(hours(true, window), true, one, window, findings)
    compare_fleet(fleet(expected), expected, window, findings, exact=True)
    compare_anomalies(anomalies(expected), expected, window, findings, exact=True)
    assert not any(check.violations for check in findings.checks(complete=True))
    assert findings.totals["answers about vehicles"] == len(expected)


@pytest.mark.parametrize(("side", "wrong"), [("acKwh", 0.0), ("dcKwh", None)])
def test_what_is_not_known_must_be_null_and_nothing_else(side: str, wrong: float | None) -> None:
    truth, expectation, expected = run()
    window = truth.start_us, truth.end_us
    index, one = next(
        (index, one) for index, one in enumerate(expected) if one.status == "no_meter"
    )
    assert one.ac is None
    assert one.dc is not None
    answer = performance(one)
    answer["energy"][side] = wrong
    assert violated(lambda found: compare_vehicle(answer, one, window, found)) == {"wrong_energy"}
    true = expectation.hours(index, window)
    said = hours(true, window)
    said[3][side] = wrong
    assert violated(lambda found: compare_hours(said, true, one, window, found)) == {"wrong_hours"}


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
    truth, _, expected = run()
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
    truth, _, expected = run()
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
    truth, _, expected = run()
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
    truth, _, expected = run()
    window = truth.start_us, truth.end_us
    answer = fleet(expected)
    answer["vehicles"]["total"] += 1
    assert not violated(lambda found: compare_fleet(answer, expected, window, found, exact=False))
    assert violated(lambda found: compare_fleet(answer, expected, window, found, exact=True)) == {
        "wrong_fleet"
    }
