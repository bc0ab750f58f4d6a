"""Records that wait for their flush."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.batch import Batch, BatchPolicy
from consumer.kafka.records import RECORD_OVERHEAD_BYTES, Record
from tests.by_column import by_column

POLICY = BatchPolicy(max_rows=3, max_bytes=10_000, max_age=0.5)
HEADERS = (("trace", b"0123456789"), ("empty", None))


def record(offset: int, value: bytes | None = b"value", key: bytes | None = b"key") -> Record:
    return Record(offset, 1_770_717_600_000, key, value, ())


def footprint(one: Record) -> int:
    return by_column([one]).footprint


def batch_of(*records: Record, now: float = 100.0) -> Batch:
    batch = Batch()
    batch.add(by_column(records), now=now)
    return batch


def test_an_empty_batch_is_never_ready_however_long_it_waits() -> None:
    batch = Batch()
    assert len(batch) == 0
    assert not batch.is_full(POLICY)
    assert not batch.is_due(POLICY, now=math.inf)


def test_a_batch_is_ready_at_its_most_rows() -> None:
    batch = batch_of(record(0), record(1))
    assert not batch.is_full(POLICY)
    assert not batch.is_due(POLICY, now=100.0)
    batch.add(by_column([record(2)]), now=100.0)
    assert batch.is_full(POLICY)
    assert batch.is_due(POLICY, now=100.0)


def test_a_batch_is_ready_at_its_most_bytes() -> None:
    full = b"x" * (POLICY.max_bytes - RECORD_OVERHEAD_BYTES)
    almost = batch_of(record(0, full[:-1], key=None))
    exactly = batch_of(record(0, full, key=None))
    assert not almost.is_full(POLICY)
    assert not almost.is_due(POLICY, now=100.0)
    assert exactly.is_full(POLICY)
    assert exactly.is_due(POLICY, now=100.0)


def test_a_batch_is_ready_at_the_age_of_its_first_record() -> None:
    batch = batch_of(record(0), now=100.0)
    batch.add(by_column([record(1)]), now=100.4)
    assert not batch.is_due(POLICY, now=100.49)
    assert batch.is_due(POLICY, now=100.5)
    assert not batch.is_full(POLICY)


def test_a_batch_ages_from_its_first_record_and_not_from_a_look_that_found_none() -> None:
    batch = Batch()
    batch.add(by_column([]), now=1.0)
    batch.add(by_column([record(1)]), now=200.0)
    assert batch.opened_at == 200.0
    assert not batch.is_due(POLICY, now=200.1)


@pytest.mark.parametrize("offsets", [[0], [7, 8, 9], [7, 9, 4_000], [2**62]])
def test_the_next_offset_follows_the_last_record_over_gaps(offsets: Sequence[int]) -> None:
    assert batch_of(*map(record, offsets)).next_offset == offsets[-1] + 1


def test_a_tombstone_without_a_key_costs_what_a_record_costs() -> None:
    assert footprint(record(0, value=None, key=None)) == RECORD_OVERHEAD_BYTES


def test_the_bytes_of_key_and_value_count_towards_the_footprint() -> None:
    empty = footprint(record(0, value=b"", key=b""))
    assert footprint(record(0, value=b"x" * 1_000, key=b"")) == empty + 1_000
    assert footprint(record(0, value=b"", key=b"x" * 1_000)) == empty + 1_000


def test_headers_count_towards_the_footprint() -> None:
    plain = record(0)
    with_headers = plain._replace(headers=HEADERS)
    assert footprint(with_headers) >= footprint(plain) + 20
    crowd = plain._replace(headers=tuple((f"h{number}", b"x" * 10) for number in range(1_000)))
    assert footprint(crowd) > 1_000 * 12


RECORDS = st.builds(
    Record,
    st.integers(0, 2**40),
    st.integers(-1, 2**40),
    st.none() | st.binary(max_size=10),
    st.none() | st.binary(max_size=300),
    st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=9)), max_size=3).map(
        tuple
    ),
)
ARRIVALS = st.lists(st.tuples(st.floats(0, 1), st.lists(RECORDS, max_size=4)), max_size=8)


@settings(max_examples=60)
@given(ARRIVALS, st.integers(1, 12), st.integers(1, 4_000), st.floats(0, 3))
def test_a_batch_accounts_for_every_record_it_was_given(
    arrivals: list[tuple[float, list[Record]]], max_rows: int, max_bytes: int, max_age: float
) -> None:
    policy = BatchPolicy(max_rows=max_rows, max_bytes=max_bytes, max_age=max_age)
    batch, given, opened_at, now = Batch(), list[Record](), None, 0.0
    for pause, records in arrivals:
        now += pause
        batch.add(by_column(records), now=now)
        given += records
        opened_at = now if opened_at is None and records else opened_at
        size = sum(map(footprint, given))

        assert list(batch.records) == given
        assert len(batch) == len(given)
        assert batch.footprint == size
        full = bool(given) and (len(given) >= max_rows or size >= max_bytes)
        assert batch.is_full(policy) is full
        assert batch.is_due(policy, now=now) is (
            opened_at is not None and (full or now - opened_at >= max_age)
        )
        if given:
            assert batch.next_offset == given[-1].offset + 1
