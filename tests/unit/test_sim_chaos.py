"""Faults on purpose: each does what its name says, at its share, and a seed repeats it."""

from collections import Counter, defaultdict
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer_sim.devices.chaos import SPLIT, Chaos, Fault, Shares
from producer_sim.devices.kinds import (
    CONFLICT,
    DUPLICATE,
    LATE,
    READING,
    REWRITTEN_DUPLICATE,
    Kind,
    Outcome,
)
from producer_sim.devices.malformed import MALFORMED, Malformed
from producer_sim.devices.messages import canonical
from producer_sim.devices.records import NO_TIME, Record, Records
from producer_sim.devices.unusual import (
    ABSENT,
    NULL,
    NULL_KEY,
    OTHER_KEY,
    REWRITINGS,
    Unusual,
    energy_only,
)
from producer_sim.runs.load import Load
from producer_sim.runs.plan import Plan
from telemetry.decode import MAX_VALUE_BYTES, Rejected, TimeLimits, decode
from telemetry.readings import Reading
from telemetry.reasons import Reason
from telemetry.streams import METER, STREAMS, VEHICLE, Stream
from telemetry.timestamps import SECOND_US

NOW = 1_770_717_600_000_000
MINUTE_US = 60 * SECOND_US
LIMITS = TimeLimits.at(NOW, retention_days=400)
PLAN = Plan(
    devices=120,
    interval_us=MINUTE_US,
    seed=5,
    start_us=NOW - 40 * MINUTE_US,
    duration_us=40 * MINUTE_US,
    fleet_name=None,
    shares=Shares.of(0.2),
)


def record(stream: Stream, measures: tuple[float, ...], recorded_at: int = NOW) -> Record:
    device_id = f"{stream.name}-00042"
    return Record(
        stream=STREAMS.index(stream),
        device_id=device_id,
        key=device_id.encode(),
        value=canonical(stream, device_id, measures, recorded_at),
        recorded_at=recorded_at,
        measures=measures,
        kind=READING,
        due=recorded_at,
    )


RECORDS = (record(METER, (0.913, 229.8)), record(VEHICLE, (57.3, 0.0, -0.5)))


@pytest.mark.parametrize("good", RECORDS, ids=["meter", "vehicle"])
@pytest.mark.parametrize("way", MALFORMED, ids=lambda way: way.kind.name)
def test_a_malformed_value_has_exactly_its_reason(way: Malformed, good: Record) -> None:
    result = decode(way.spoil(good), STREAMS[good.stream], LIMITS)
    assert isinstance(result, Rejected)
    assert result.reason is way.kind.reason
    assert way.kind.expected is Outcome.DEAD_LETTERED


def test_malformed_values_cover_every_reason_that_a_value_can_have() -> None:
    decided_later = {
        Reason.UNREGISTERED_DEVICE,
        Reason.CONFLICTING_DUPLICATE,
        Reason.REJECTED_BY_DATABASE,
    }
    assert {way.kind.reason for way in MALFORMED} == set(Reason) - decided_later


def test_kinds_have_unique_names() -> None:
    kinds = [way.kind for way in (*MALFORMED, *REWRITINGS)]
    kinds += [
        NULL_KEY,
        OTHER_KEY,
        ABSENT,
        NULL,
        READING,
        LATE,
        DUPLICATE,
        REWRITTEN_DUPLICATE,
        CONFLICT,
    ]
    assert len({kind.name for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("way", REWRITINGS, ids=lambda way: way.kind.name)
@settings(max_examples=40)
@given(st.floats(0, 100), st.floats(0, 1e7), st.floats(-60, 150), st.integers(NOW - 10**12, NOW))
def test_an_unusual_form_is_the_same_reading_in_other_bytes(
    way: Unusual, soc: float, energy: float, temperature: float, recorded_at: int
) -> None:
    for good in (
        record(METER, (energy, soc), recorded_at // 1_000 * 1_000),
        record(VEHICLE, (soc, energy, temperature), recorded_at // 1_000 * 1_000),
    ):
        value = way.rewrite(good)
        assert value != good.value
        assert len(value) <= MAX_VALUE_BYTES
        reading = decode(value, STREAMS[good.stream], LIMITS)
        assert reading == Reading(good.device_id, good.recorded_at, good.measures)


@pytest.mark.parametrize("kind", [ABSENT, NULL])
@pytest.mark.parametrize("good", RECORDS, ids=["meter", "vehicle"])
def test_a_device_that_sends_only_its_energy_leaves_the_rest_out_or_null(
    good: Record, kind: Kind
) -> None:
    told = energy_only(good, kind)
    assert told.value is not None
    assert (b"null" in told.value) is (kind is NULL)
    assert sum(measure is not None for measure in told.measures) == 1
    reading = decode(told.value, STREAMS[good.stream], LIMITS)
    assert reading == Reading(good.device_id, good.recorded_at, told.measures)


def test_every_sent_value_agrees_with_its_entry_in_the_ledger() -> None:
    kinds: Counter[Kind] = Counter()
    for row in rows_of(PLAN):
        kinds[row.kind] += 1
        result = decode(row.value, STREAMS[row.stream], LIMITS)
        if row.recorded_at == NO_TIME:
            assert isinstance(result, Rejected)
            assert result.reason is row.kind.reason
            assert row.measures == ()
        else:
            assert result == Reading(row.device_id, row.recorded_at, row.measures)
        if row.kind.canonical:
            stream = STREAMS[row.stream]
            assert row.value == canonical(stream, row.device_id, row.measures, row.recorded_at)
    assert len(kinds) > 50


@pytest.mark.parametrize("fault", Fault)
def test_a_fault_gets_its_share_of_the_readings(fault: Fault) -> None:
    load = Load(replace(PLAN, shares=Shares(**{fault.value: 0.1})))
    sent = sum(len(chunk) for chunk in load.chunks())
    readings = 2 * PLAN.devices * 40
    assert load.faults.keys() == {fault}
    assert load.faults[fault] == pytest.approx(0.1 * readings, rel=0.15)
    extra = {Fault.DUPLICATES: 1, Fault.CONFLICTS: 1, Fault.GAPS: -1}.get(fault, 0)
    assert sent == readings + extra * load.faults[fault]


def test_one_share_is_split_over_all_faults_and_single_shares_replace_their_part() -> None:
    assert sum(SPLIT.by_fault) == pytest.approx(1)
    shares = Shares.of(0.01, gaps=0.5, late=None)
    assert shares == Shares(
        duplicates=0.003, late=0.003, gaps=0.5, malformed=0.001, conflicts=0.0005, unusual=0.0015
    )
    with pytest.raises(ValueError, match="sum"):
        Shares(gaps=0.6, late=0.6)
    with pytest.raises(ValueError, match="between"):
        Shares(gaps=-0.1)


def test_copies_and_conflicts_follow_their_original_with_the_same_key() -> None:
    shares = Shares(duplicates=0.2, conflicts=0.2, late=0.1, unusual=0.2)
    original: dict[tuple[int, str, int], Record] = {}
    followed: Counter[Kind] = Counter()
    for row in rows_of(replace(PLAN, shares=shares)):
        identity = (row.stream, row.device_id, row.recorded_at)
        if row.kind in {DUPLICATE, REWRITTEN_DUPLICATE, CONFLICT}:
            first = original[identity]
            followed[row.kind] += 1
            assert first.kind is READING
            assert row.key == first.key == row.device_id.encode()
            assert (row.measures == first.measures) is (row.kind is not CONFLICT)
        else:
            assert identity not in original
            original[identity] = row
    assert min(followed[kind] for kind in (DUPLICATE, REWRITTEN_DUPLICATE, CONFLICT)) > 50


@given(
    soc=st.floats(0, 100),
    temperature=st.floats(-60, 150),
    energy=st.floats(0, 1e7),
    seed=st.integers(0, 1_000),
)
def test_a_conflict_is_a_valid_reading_with_other_values(
    soc: float, temperature: float, energy: float, seed: int
) -> None:
    good = record(VEHICLE, (soc, energy, temperature))
    chaos = Chaos(shares=Shares(conflicts=1.0), seed=seed, interval_us=MINUTE_US)
    sent = chaos.mix(Records.of([good])) + chaos.rest(NOW)
    first, conflict = (decode(value, VEHICLE, LIMITS) for value in sent.values)
    assert first == Reading(good.device_id, NOW, good.measures)
    assert isinstance(conflict, Reading)
    assert conflict.measures != good.measures
    assert conflict.measures == sent.row(1).measures


def test_late_readings_are_overtaken_by_newer_ones_of_their_device() -> None:
    overtaken = 0
    newest: dict[tuple[int, str], int] = defaultdict(int)
    late = []
    for row in rows_of(replace(PLAN, shares=Shares(late=0.05))):
        device = (row.stream, row.device_id)
        if row.kind is LATE:
            late.append(row)
            overtaken += newest[device] > row.recorded_at
        else:
            assert newest[device] < row.recorded_at
        newest[device] = max(newest[device], row.recorded_at)
    assert overtaken > 0.9 * len(late) > 300


def test_records_are_in_the_order_in_which_they_are_due() -> None:
    due = [row.due for row in rows_of(PLAN)]
    assert due == sorted(due)
    assert due[-1] <= PLAN.start_us + 40 * MINUTE_US


def test_all_readings_but_gaps_and_malformed_ones_are_sent() -> None:
    load = Load(PLAN)
    sent = {
        (row.stream, row.device_id, row.recorded_at)
        for chunk in load.chunks()
        for row in map(chunk.row, range(len(chunk)))
        if row.recorded_at != NO_TIME
    }
    undisturbed = {
        (row.stream, row.device_id, row.recorded_at)
        for row in rows_of(replace(PLAN, shares=Shares()))
    }
    assert sent <= undisturbed
    missing = load.faults[Fault.GAPS] + load.faults[Fault.MALFORMED]
    assert len(undisturbed) - len(sent) == missing


def test_a_seed_repeats_the_same_bytes_in_the_same_order() -> None:
    first, again = ([(row.key, row.value) for row in made_from(PLAN)] for _ in range(2))
    other = [(row.key, row.value) for row in rows_of(replace(PLAN, seed=6))]
    assert first == again
    assert first != other


def test_chaos_does_not_change_the_readings_of_the_fleet() -> None:
    calm = {
        (row.device_id, row.recorded_at): row.measures
        for row in rows_of(replace(PLAN, shares=Shares()))
    }
    for row in rows_of(replace(PLAN, shares=Shares.of(0.5, conflicts=0.0))):
        if row.recorded_at != NO_TIME:
            calm_measures = calm[row.device_id, row.recorded_at]
            is_reduced = row.kind in {ABSENT, NULL}
            assert row.measures == tuple(
                None if is_reduced and name != STREAMS[row.stream].energy_field else measure
                for name, measure in zip(STREAMS[row.stream].fields, calm_measures, strict=True)
            )


@cache
def rows_of(plan: Plan) -> list[Record]:
    return made_from(plan)


def made_from(plan: Plan) -> list[Record]:
    chunks = list(Load(plan).chunks())
    assert all(np.isfinite(chunk.due).all() for chunk in chunks)
    return [chunk.row(index) for chunk in chunks for index in range(len(chunk))]
