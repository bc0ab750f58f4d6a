"""Readings by column, against the same work done row by row."""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consumer.flush.columns import Columns
from telemetry.readings import Reading
from tests.by_column import by_row

POSTGRES_EPOCH_US = 946_684_800_000_000  # 2000-01-01T00:00:00Z
NOW = 1_770_717_600_000_000


class Row(NamedTuple):
    """One row of columns."""

    device_id: str
    time: int
    measures: tuple[float | None, ...]
    position: int


def columns_of(readings: Sequence[Reading], positions: Sequence[int]) -> Columns:
    ids, times, measures = zip(*readings, strict=True)
    told = np.array(measures, np.float64)  # None is NaN
    return Columns.of(ids, np.array(times), told.T, np.array(positions))


def rows_of(columns: Columns) -> list[Row]:
    places = columns.positions.tolist()
    return [Row(*one, place) for one, place in zip(by_row(columns), places, strict=True)]


def in_order(readings: Sequence[Reading], positions: Sequence[int]) -> list[Row]:
    rows = [Row(*reading, position) for reading, position in zip(readings, positions, strict=True)]
    return sorted(rows, key=lambda row: (row.device_id, row.time, row.position))


def copied(data: bytes) -> Iterator[tuple[bytes | None, ...]]:
    """Read binary COPY data as PostgreSQL's manual describes it: the fields of each row."""
    assert data[:11] == b"PGCOPY\n\xff\r\n\x00"
    flags, extension = struct.unpack_from(">ii", data, 11)
    assert (flags, extension) == (0, 0)
    place = 19
    while (count := struct.unpack_from(">h", data, place)[0]) != -1:
        place += 2
        fields: list[bytes | None] = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", data, place)
            if length == -1:  # NULL
                fields.append(None)
                place += 4
                continue
            assert length >= 0
            fields.append(data[place + 4 : place + 4 + length])
            place += 4 + length
        yield tuple(fields)
    assert place + 2 == len(data)


def encoded(row: Row) -> tuple[bytes | None, ...]:
    fields: list[bytes | None] = [
        row.device_id.encode(),
        struct.pack(">q", row.time - POSTGRES_EPOCH_US),
    ]
    fields += [None if one is None else struct.pack(">d", one) for one in row.measures]
    return tuple(fields)


def copied_rows(rows: Sequence[Row]) -> list[tuple[bytes | None, ...]]:
    """Return the fields of the rows in the order of COPY: shorter ids first."""
    return [encoded(row) for row in sorted(rows, key=lambda row: len(row.device_id))]


# Few ids, times and values, so that equal ones meet often; ids of which one starts the other.
IDS = st.sampled_from(["a", "ab", "abc", "b", "B", "Z", "_", "-", "a" * 64, "10", "9"]) | st.text(
    "ab:.", min_size=1, max_size=4
)
TIMES = st.sampled_from([NOW, NOW + 1, NOW - 1]) | st.integers(
    POSTGRES_EPOCH_US, 253_402_387_139_000_000
)
VALUES = st.sampled_from([0.0, -0.0, 1.5, 100.0]) | st.floats(-60, 10_000_000)


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[Reading], list[int]]:
    """Readings of one kind, and the places at which they stood: with gaps, in any order."""
    width = draw(st.integers(2, 3))
    measures = st.tuples(*[VALUES | st.none()] * width)
    readings = draw(
        st.lists(st.builds(Reading, IDS, TIMES, measures), min_size=1, max_size=25)
        | st.lists(st.builds(Reading, st.just("a"), st.just(NOW), measures), min_size=1, max_size=5)
    )
    places = draw(st.sets(st.integers(0, 60), min_size=len(readings), max_size=len(readings)))
    return readings, draw(st.permutations(sorted(places)))


ONE = [Reading("a", NOW, (0.0, -0.0))]
MANY = settings(max_examples=80)


@MANY
@given(batches())
@example((ONE, [3]))
def test_rows_are_in_order_of_device_time_and_position(
    batch: tuple[list[Reading], list[int]],
) -> None:
    columns = columns_of(*batch)
    assert repr(rows_of(columns)) == repr(in_order(*batch))
    assert len(columns) == len(batch[0])
    assert list(columns.devices) == sorted({reading.device_id for reading in batch[0]})


@MANY
@given(batches())
def test_the_first_of_each_device_and_time_leads_and_the_others_are_compared_with_it(
    batch: tuple[list[Reading], list[int]],
) -> None:
    first: dict[tuple[str, int], Row] = {}
    leads, equals = [], []
    for row in in_order(*batch):
        lead = first.setdefault((row.device_id, row.time), row)
        leads.append(lead is row)
        equals.append(lead.measures == row.measures)
    columns = columns_of(*batch)
    assert columns.leads().tolist() == leads
    assert columns.equals_lead().tolist() == equals


@MANY
@given(batches())
def test_the_newest_of_each_device_is_its_last_row(batch: tuple[list[Reading], list[int]]) -> None:
    newest: dict[str, Row] = {}
    for row in in_order(*batch):
        newest[row.device_id] = row
    assert repr(rows_of(columns_of(*batch).newest())) == repr(list(newest.values()))


@MANY
@given(batches())
@example((ONE, [3]))
def test_copy_data_holds_every_row_bit_for_bit(
    batch: tuple[list[Reading], list[int]],
) -> None:
    data = columns_of(*batch).copy_data()
    assert list(copied(data)) == copied_rows(in_order(*batch))


@MANY
@given(batches(), st.data())
def test_rows_taken_by_mask_slice_or_place_stay_whole_and_in_order(
    batch: tuple[list[Reading], list[int]], data: st.DataObject
) -> None:
    columns, rows = columns_of(*batch), in_order(*batch)
    chosen = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    kept = [row for row, choice in zip(rows, chosen, strict=True) if choice]
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(rows))] * 2)))

    by_mask = columns.take(np.array(chosen, np.bool_))
    by_place = columns.take(np.flatnonzero(np.array(chosen, np.bool_)))
    by_slice = columns.take(slice(start, end))

    assert repr(rows_of(by_mask)) == repr(rows_of(by_place)) == repr(kept)
    assert repr(rows_of(by_slice)) == repr(rows[start:end])
    for part, part_rows in ((by_mask, kept), (by_slice, rows[start:end])):
        assert list(copied(part.copy_data())) == copied_rows(part_rows)
        leads = {(row.device_id, row.time) for row in part_rows}
        assert int(part.leads().sum()) == len(leads)
        assert len(part.newest()) == len({row.device_id for row in part_rows})


@MANY
@given(batches())
def test_halves_are_all_rows_and_differ_in_length_by_one_at_most(
    batch: tuple[list[Reading], list[int]],
) -> None:
    first, second = columns_of(*batch).halves()
    assert repr(rows_of(first) + rows_of(second)) == repr(in_order(*batch))
    assert len(second) - len(first) in (0, 1)


def test_halving_again_and_again_ends_in_single_rows() -> None:
    readings = [Reading(f"m{number % 5}", NOW + number, (1.0, 2.0)) for number in range(37)]
    pending, singles = [columns_of(readings, range(37))], list[Row]()
    while pending:
        columns = pending.pop()
        if len(columns) == 1:
            singles += rows_of(columns)
        else:
            pending += columns.halves()
    assert sorted(singles) == in_order(readings, range(37))


def test_a_batch_of_10_000_is_encoded_whole() -> None:
    readings = [
        Reading(f"mtr-{number * 7919 % 10_007}", NOW + number % 3, (number / 7, 230.0))
        for number in range(10_007)
    ]
    positions = range(0, 20_014, 2)
    data = columns_of(readings, positions).copy_data()
    expected = copied_rows(in_order(readings, positions))
    assert list(copied(data)) == expected


def test_a_second_value_that_differs_in_one_measure_only_is_not_equal() -> None:
    measures = [
        (1.0, 2.0, 3.0),
        (1.0, 2.0, 3.0),
        (1.0, 2.5, 3.0),
        (1.0, 2.0, 3.5),
        (-0.0, 0.0, 0.0),
    ]
    readings = [Reading("v", NOW, row) for row in measures]
    columns = columns_of(readings, range(5))
    assert columns.leads().tolist() == [True, False, False, False, False]
    assert columns.equals_lead().tolist() == [True, True, False, False, False]


def test_what_was_not_told_twice_is_equal_and_what_was_told_once_is_not() -> None:
    measures = [(1.0, None), (1.0, None), (1.0, 0.0), (None, 1.0)]
    columns = columns_of([Reading("m", NOW, row) for row in measures], range(4))
    assert columns.equals_lead().tolist() == [True, True, False, False]
