"""Devices that behave as real ones do, and what their readings account for."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energy.sides import Sides
from producer_sim.devices.quirks.charges import Charges
from producer_sim.devices.quirks.device import NANO, Device
from producer_sim.devices.quirks.pairs import Pair, Pairs
from producer_sim.devices.quirks.quirk import REASONS, VEHICLES, Quirk
from producer_sim.oracle.quirky import devices_of
from producer_sim.runs.enrolment import described
from tests.unit.quirky import END_US, judged, pairs_of, sent_by_device
from tests.unit.worlds import HOUR_US, MINUTE_US, START_US, lived

SECOND_US = 1_000_000
seeds = st.integers(0, 2**32)
times = st.integers(START_US - HOUR_US, END_US + HOUR_US)


def having(quirk: Quirk, **changed: int) -> tuple[Pairs, Pair]:
    pairs = pairs_of(**changed)
    return pairs, next(pair for pair in pairs.pairs if pair.quirk is quirk)


def shown(quirk: Quirk) -> tuple[list[int], list[int]]:
    """Return the times and the nanokilowatt-hours that the device with the quirk sends."""
    pairs, pair = having(quirk)
    is_vehicle = quirk in VEHICLES
    rows = sent_by_device(pairs)[pair.vehicle_id if is_vehicle else pair.meter_id]
    values = [row.measures[int(is_vehicle)] for row in rows]
    return [row.recorded_at for row in rows], [
        round(value * NANO) for value in values if value is not None
    ]


def hourly(device: Device, edges: list[int]) -> list[int]:
    return [
        device.told(min(end, device.life.last_at)) - device.told(max(start, START_US))
        for start, end in pairwise(edges)
    ]


def energies(side: Sides) -> list[int]:
    told: list[int] = side.energy[0].tolist()
    return told


@pytest.mark.parametrize("minutes", [1, 5, 15])
@pytest.mark.parametrize("quirk", Quirk)
def test_the_arithmetic_answers_what_each_hour_of_a_quirk_tells(quirk: Quirk, minutes: int) -> None:
    pairs, pair = having(quirk, interval_us=minutes * MINUTE_US)
    answered = judged(pairs, pair, START_US, END_US)
    edges = answered.edges.tolist()
    assert energies(answered.ac) == hourly(pair.meter, edges)
    assert energies(answered.dc) == hourly(pair.vehicle, edges)
    assert tuple(map(str, answered.reasons[0])) == REASONS.get(quirk, ())
    assert sum(energies(answered.ac)) > 10 * NANO


@settings(max_examples=15, deadline=None)
@given(seeds, st.sampled_from((5, 15)), st.sampled_from(Quirk))
def test_the_arithmetic_answers_what_is_told_whatever_the_seed(
    seed: int, minutes: int, quirk: Quirk
) -> None:
    pairs, pair = having(quirk, seed=seed, interval_us=minutes * MINUTE_US)
    answered = judged(pairs, pair, START_US, END_US)
    edges = answered.edges.tolist()
    assert energies(answered.ac) == hourly(pair.meter, edges)
    assert energies(answered.dc) == hourly(pair.vehicle, edges)


@given(seeds, st.lists(times, min_size=3, max_size=3).map(sorted))
def test_the_energy_of_parts_adds_up_to_that_of_the_whole(seed: int, cuts: list[int]) -> None:
    pair = pairs_of(seed=seed).pairs[0]
    start, middle, end = cuts
    for energy in (pair.drawn_nano, pair.taken_nano):
        assert energy(start, middle) + energy(middle, end) == energy(start, end) >= 0
    assert pair.taken_nano(start, end) <= pair.drawn_nano(start, end) + 1


@given(seeds, st.integers(0, 10_000))
def test_charges_follow_one_another_and_fit_into_a_battery(seed: int, number: int) -> None:
    charges = Charges.of(seed, number, start=START_US, end=END_US)
    for charge in range(charges.count):
        assert START_US + HOUR_US < charges.begins(charge) < END_US - HOUR_US
        assert charges.ends(charge) < charges.begins(charge + 1)
        one = charges.drawn(charges.ends(charge)) - charges.drawn(charges.begins(charge))
        assert one == charges.power * charges.length_us <= 50 * NANO


@pytest.mark.parametrize(("quirk", "step"), [(Quirk.WHOLE_STEPS, NANO), (Quirk.TENTHS, NANO // 10)])
def test_a_coarse_counter_shows_whole_steps(quirk: Quirk, step: int) -> None:
    _, values = shown(quirk)
    assert all(value % step == 0 for value in values)
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_an_hourly_total_changes_once_an_hour() -> None:
    at, values = shown(Quirk.HOURLY_TOTAL)
    changes = [
        now for now, (one, other) in zip(at[1:], pairwise(values), strict=True) if one < other
    ]
    assert changes
    assert len({change % HOUR_US for change in changes}) == 1


@pytest.mark.parametrize("quirk", [Quirk.DIPS, Quirk.UNRATED, Quirk.SPIKES, Quirk.SAGS])
def test_wrong_samples_are_one_to_three_and_the_last_hour_has_none(quirk: Quirk) -> None:
    at, values = shown(quirk)
    pair = having(quirk)[1]
    device = pair.vehicle if quirk in VEHICLES else pair.meter
    right = [values[0] + device.life.energy(time) for time in at]
    wrong = [value != true for value, true in zip(values, right, strict=True)]
    runs = "".join("x" if one else " " for one in wrong).split()
    assert runs
    assert {len(run) for run in runs} <= {1, 2, 3}
    assert not any(one for one, time in zip(wrong, at, strict=True) if time >= END_US - HOUR_US)


def test_a_session_counter_begins_at_zero_with_each_charge() -> None:
    _, values = shown(Quirk.SESSION_COUNTER)
    _, pair = having(Quirk.SESSION_COUNTER)
    falls = [other for one, other in pairwise(values) if other < one]
    assert len(falls) == pair.charges.count - 1 > 0
    assert max(falls) <= pair.charges.power * MINUTE_US


def test_a_quarter_hour_meter_sends_at_quarters_only() -> None:
    at, _ = shown(Quirk.QUARTER_HOURS)
    assert {int(one) for one in np.diff(at)} == {15 * MINUTE_US}


def test_a_silent_meter_sends_nothing_around_the_edges_of_charges() -> None:
    at, _ = shown(Quirk.SILENCES)
    _, pair = having(Quirk.SILENCES)
    edge = pair.charges.begins(0)
    assert not any(edge - 6 * MINUTE_US < time < edge + 6 * MINUTE_US for time in at)
    assert max(np.diff(at)) > 11 * MINUTE_US


def test_a_message_that_is_sent_twice_differs_in_its_time_by_a_second() -> None:
    at, values = shown(Quirk.TWICE)
    pairs = list(zip(at[1::2], at[2::2], values[1::2], values[2::2], strict=True))
    assert all(other - one == SECOND_US for one, other, _, _ in pairs)
    assert all(one == other for _, _, one, other in pairs)


def test_a_vehicle_that_reports_only_while_charging_sends_no_zero() -> None:
    at, values = shown(Quirk.ONLY_WHILE_CHARGING)
    assert min(values) > 0
    assert max(np.diff(at)) > HOUR_US


def test_what_is_sent_does_not_depend_on_how_it_is_asked_for() -> None:
    pairs = pairs_of()
    whole = pairs.between(START_US, END_US)
    parts = [
        pairs_of().between(start, start + 7 * MINUTE_US + 13)
        for start in range(START_US, END_US, 7 * MINUTE_US + 13)
    ]
    assert [value for part in parts for value in part.values] == whole.values
    again = Pairs.of(pairs.described())
    assert again.between(START_US, END_US).values == whole.values


def test_a_run_with_quirks_sends_in_the_order_of_time_and_keeps_the_other_pairs() -> None:
    _, sent = lived(quirks=0.3)
    assert all(one.due <= other.due for one, other in pairwise(sent))
    truth, calm = lived(devices=28)
    names = {device.device_id for device in truth.devices}
    assert [row for row in sent if row.device_id in names] == calm


def test_quirks_without_a_world_or_with_an_unsuitable_interval_are_refused() -> None:
    with pytest.raises(ValueError, match="need a world"):
        lived(quirks=0.3, registers=None)
    with pytest.raises(ValueError, match="divides 15 minutes"):
        lived(quirks=0.3, interval_us=7 * MINUTE_US)


@pytest.mark.parametrize(
    ("quirk", "registered"),
    [
        (Quirk.WHOLE_STEPS, {"readingKind": "register", "registerStepKwh": 1.0}),
        (Quirk.TENTHS, {"readingKind": "register", "registerStepKwh": 0.1}),
        (Quirk.QUARTER_HOURS, {"readingKind": "interval", "readingIntervalSeconds": 900.0}),
        (Quirk.TWICE, {"readingKind": "interval", "readingIntervalSeconds": 60.0}),
        (Quirk.ONLY_WHILE_CHARGING, {"reportsOnlyWhileCharging": True}),
    ],
)
def test_what_is_registered_follows_from_the_quirk(
    quirk: Quirk, registered: dict[str, object]
) -> None:
    pairs, pair = having(quirk)
    mine = (pair.meter_id, pair.vehicle_id)
    meter, vehicle = (
        described(device, MINUTE_US) for device in devices_of(pairs) if device.device_id in mine
    )
    assert (vehicle if quirk in VEHICLES else meter).items() >= registered.items()
    assert meter["capacityKw"] == pair.charges.kw


def test_the_rating_of_an_unrated_meter_is_not_registered() -> None:
    pairs, pair = having(Quirk.UNRATED)
    meter = next(one for one in devices_of(pairs) if one.device_id == pair.meter_id)
    assert "capacityKw" not in described(meter, MINUTE_US)
