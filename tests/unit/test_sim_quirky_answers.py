"""Right answers about devices as they are; a wrong one needs a reason, where there may be one."""

from collections.abc import Callable
from functools import cache

import pytest

from producer_sim.devices.quirks.charges import HOUR_US
from producer_sim.devices.quirks.device import NANO
from producer_sim.devices.quirks.quirk import IN_SESSIONS, METERS, REASONS, Quirk
from producer_sim.oracle.answers import (
    Findings,
    compare_anomalies,
    compare_fleet,
    compare_hours,
    compare_meter,
    compare_sessions,
    compare_vehicle,
)
from producer_sim.oracle.expected import Expected
from producer_sim.oracle.quirky_expected import QuirkyExpectation, Witnessed
from telemetry.timestamps import format_timestamp
from tests.unit.quirky import END_US, judged, pairs_of
from tests.unit.said import Answer, hours, kwh, performance, violated
from tests.unit.worlds import MINUTE_US, START_US

WINDOW = START_US, END_US
DETERMINED = [quirk for quirk in Quirk if quirk not in REASONS]


@cache
def oracle() -> QuirkyExpectation:
    return QuirkyExpectation(pairs_of(interval_us=5 * MINUTE_US))


def having(quirk: Quirk) -> Witnessed:
    return next(one for one in oracle().pairs if one.pair.quirk is quirk)


def answered(expected: Expected, ac: float | None, *reasons: str) -> Answer:
    """Return an answer with another AC, which is consistent in itself."""
    answer = performance(expected)
    answer["energy"]["acKwh"] = answer["vehicles"][0]["acKwh"] = ac
    dc = answer["energy"]["dcKwh"]
    answer["energy"]["lossKwh"] = None if ac is None else ac - dc
    answer["efficiency"]["ratio"] = dc / ac if ac else None
    answer["quality"]["reasons"] = list(reasons)
    return answer


def found_in(answer: Answer, expected: Expected) -> set[str]:
    return violated(lambda found: compare_vehicle(answer, expected, WINDOW, found))


@pytest.mark.parametrize("quirk", Quirk)
@pytest.mark.parametrize(("first", "last"), [(0, 24), (-1, 1), (13, 14), (23, 24)])
def test_the_oracle_and_the_arithmetic_agree(quirk: Quirk, first: int, last: int) -> None:
    start, end = START_US + first * HOUR_US, START_US + last * HOUR_US
    one = having(quirk)
    expected = one.expected((start, end))
    answer = judged(oracle().run, one.pair, start, end)
    assert expected.vehicle_coverage == pytest.approx(answer.dc.coverage[0])
    assert expected.meter_coverage == pytest.approx(answer.ac.coverage[0])
    assert expected.dc == answer.dc.known_total(0)
    drawn, reasons = answer.ac.known_total(0), map(str, answer.reasons[0])
    assert expected.allowing(drawn, expected.meter_coverage, reasons).ac == drawn
    if quirk in DETERMINED:
        assert expected.ac == drawn
    assert len(one.hours((start, end))) == len(answer.edges) - 1
    hours = one.hours((start, end)).values()
    assert [dc for _, dc, _ in hours] == answer.dc.known_by_hour()
    if quirk in DETERMINED:
        assert [ac for ac, _, _ in hours] == answer.ac.known_by_hour()


@pytest.mark.parametrize("quirk", DETERMINED)
@pytest.mark.parametrize("reasons", [(), ("register_fell",), ("overlapping_readings",)])
def test_a_wrong_figure_of_a_determined_quirk_is_found_whatever_its_reason(
    quirk: Quirk, reasons: tuple[str, ...]
) -> None:
    expected = having(quirk).expected(WINDOW)
    true = kwh(expected.ac)
    assert true is not None
    assert not found_in(answered(expected, true), expected)
    for wrong in (true + 2e-6, true - 1.0, 0.0):
        assert "wrong_energy" in found_in(answered(expected, wrong, *reasons), expected)


@pytest.mark.parametrize("quirk", Quirk)
def test_null_for_what_is_known_is_found_with_a_reason_too(quirk: Quirk) -> None:
    one = having(quirk)
    expected = one.expected(WINDOW)
    assert "wrong_energy" in found_in(answered(expected, None), expected)
    reasons = REASONS.get(quirk, ())
    assert "wrong_energy" in found_in(answered(expected, None, *reasons), expected)
    true = one.hours(WINDOW)
    said = hours(true, WINDOW)
    said[5]["acKwh"] = None
    assert violated(lambda found: compare_hours(said, true, expected, WINDOW, found)) == {
        "wrong_hours"
    }


@pytest.mark.parametrize("quirk", REASONS)
def test_a_wrong_figure_of_what_is_not_determined_needs_a_reason(quirk: Quirk) -> None:
    one = having(quirk)
    expected = one.expected(WINDOW)
    true = kwh(expected.ac)
    assert true is not None
    assert not found_in(answered(expected, true), expected)
    assert "wrong_energy" in found_in(answered(expected, 2 * true), expected)
    assert "wrong_energy" in found_in(answered(expected, 2 * true, "unsettled"), expected)
    excused = answered(expected, 2 * true, *REASONS[quirk])
    excused["efficiency"]["status"] = "critical"
    assert not found_in(excused, expected)
    excused["quality"]["reasons"].append("unsettled")
    assert found_in(excused, expected) == {"wrong_status"}


@pytest.mark.parametrize("quirk", REASONS)
def test_a_lower_coverage_is_as_good_as_a_reason_only_where_nothing_is_determined(
    quirk: Quirk,
) -> None:
    for other, checks in (
        (quirk, set()),
        (Quirk.SPIKES, {"wrong_energy", "wrong_coverage", "wrong_status"}),
    ):
        expected = having(other).expected(WINDOW)
        answer = answered(expected, 2 * (kwh(expected.ac) or 0))
        answer["efficiency"]["status"] = "critical"
        answer["quality"]["meterCoverage"] = expected.meter_coverage - 0.1
        assert found_in(answer, expected) <= checks
        assert bool(found_in(answer, expected)) == bool(checks)


@pytest.mark.parametrize("quirk", REASONS)
def test_hours_of_what_is_not_determined_are_excused_with_their_window(quirk: Quirk) -> None:
    one = having(quirk)
    expected = one.expected(WINDOW)
    true = one.hours(WINDOW)
    said = hours(true, WINDOW)
    for hour in said:
        hour["acKwh"] *= 2
    allowed = expected.allowing(2 * (expected.ac or 0), 1.0, REASONS[quirk])
    assert violated(lambda found: compare_hours(said, true, expected, WINDOW, found))
    assert not violated(lambda found: compare_hours(said, true, allowed, WINDOW, found))


def test_the_fleet_is_the_sum_of_what_is_true_and_of_what_was_allowed() -> None:
    findings = Findings()
    allowed = []
    for expected in oracle().of(WINDOW):
        answer = performance(expected)
        if expected.excuses:
            answer = answered(expected, 2 * (kwh(expected.ac) or 0), *expected.excuses)
            answer["efficiency"]["status"] = "critical"
        allowed.append(compare_vehicle(answer, expected, WINDOW, findings))
    judged_ones = [one for one in allowed if one.status in ("optimal", "degraded", "critical")]
    ac, dc = (sum(getattr(one, side) for one in judged_ones) for side in ("ac", "dc"))
    counts = {
        status: sum(one.status == status for one in allowed)
        for status in ("optimal", "degraded", "critical", "implausible")
    }
    fleet = {
        "vehicles": {"total": len(allowed), "insufficient_data": 0, "no_meter": 0} | counts,
        "energy": {"acKwh": ac / NANO, "dcKwh": dc / NANO},
        "efficiency": {"ratio": dc / ac},
    }
    items = [
        {
            "vehicleId": one.vehicle_id,
            "status": one.status,
            "acKwh": kwh(one.ac),
            "dcKwh": kwh(one.dc),
        }
        for one in allowed
        if one.is_anomaly
    ]
    compare_fleet(fleet, allowed, WINDOW, findings, exact=True)
    compare_anomalies(items, allowed, WINDOW, findings, exact=True)
    assert not any(check.violations for check in findings.checks(complete=True))
    fleet["energy"]["acKwh"] += 2e-6
    assert violated(lambda found: compare_fleet(fleet, allowed, WINDOW, found, exact=False)) == {
        "wrong_fleet"
    }


def plant_in_energy(answer: Answer) -> None:
    answer["energy"]["dcKwh"] += 2e-6


def plant_in_the_share(answer: Answer) -> None:
    answer["vehicles"][0]["acKwh"] += 1e-3


def plant_another_vehicle(answer: Answer) -> None:
    answer["vehicles"].append({"vehicleId": "other", "acKwh": 1.0, "dcKwh": 0.9})


@pytest.mark.parametrize("quirk", [Quirk.WHOLE_STEPS, Quirk.SILENCES])
@pytest.mark.parametrize("plant", [plant_in_energy, plant_in_the_share, plant_another_vehicle])
def test_a_wrong_answer_about_a_meter_is_found(
    quirk: Quirk, plant: Callable[[Answer], None]
) -> None:
    expected = having(quirk).expected(WINDOW)
    answer = performance(expected)
    assert not violated(lambda found: compare_meter(answer, expected, WINDOW, found))
    plant(answer)
    assert violated(lambda found: compare_meter(answer, expected, WINDOW, found)) == {
        "wrong_energy"
    }


@pytest.mark.parametrize("quirk", sorted(IN_SESSIONS))
def test_a_wrong_or_missing_session_is_found(quirk: Quirk) -> None:
    one = having(quirk)
    charges = {charge: one.energies(*charge) for charge in one.sessions}
    assert charges
    items = [
        {
            "startedAt": format_timestamp(start),
            "endedAt": format_timestamp(end),
            "acKwh": kwh(ac),
            "dcKwh": kwh(dc),
        }
        for (start, end), (ac, dc) in charges.items()
    ]

    def found(some: list[Answer]) -> set[str]:
        return violated(lambda findings: compare_sessions(some, charges, "v", WINDOW, findings))

    assert not found(items)
    assert found(items[1:]) == {"wrong_energy"}
    items[0]["acKwh"] = None
    assert found(items) == {"wrong_energy"}


def test_only_meters_are_excused() -> None:
    assert REASONS.keys() <= METERS.keys() - IN_SESSIONS


@pytest.mark.parametrize("quirk", Quirk)
def test_what_is_told_is_never_far_from_what_flowed(quirk: Quirk) -> None:
    if quirk in REASONS:
        return
    one = having(quirk)
    grain = one.pair.charges.power * HOUR_US + NANO  # of an hour, and a step
    for start in range(START_US, END_US, HOUR_US):
        told = one.energies(START_US, start)[0]
        drawn = one.pair.drawn_nano(START_US, start)
        assert abs(told - drawn) <= grain
