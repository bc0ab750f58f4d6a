"""Fetched bytes → records: what a header's name holds costs no record its delivery."""

from collections.abc import Sequence

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.subscription_state import ManualSubscription

from consumer.kafka.batches import HANDED_OUT_BYTES, RUN_RECORDS, Batches
from consumer.kafka.fetched import FetchResult, PartitionRecords
from consumer.kafka.unreadable import Unreadable
from tests.record_batches import Sent, batch_of
from tests.unit.fetched_records import CODECS, GOOD, ODD, ODD_NAMES, records_of


def fetched(*batches: Sequence[Sent], codec: int = 0) -> bytes:
    """Return the bytes of these batches, at consecutive offsets from 0 on."""
    data, offset = b"", 0
    for batch in batches:
        data += batch_of(batch, codec=codec, offset=offset)
        offset += len(batch)
    return data


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("odd", [0, 4, 5, 9, 14])
def test_a_name_that_is_not_utf_8_is_read_with_all_its_neighbours(odd: int, codec: int) -> None:
    sent = [ODD if place == odd else GOOD for place in range(15)]
    found = records_of(fetched(sent[:5], sent[5:10], sent[10:], codec=codec))
    assert [record.offset for record in found] == list(range(15))
    assert {(record.key, record.value) for record in found} == {(b"k", b"value")}
    names = [name for name, _ in found[odd].headers]
    assert [name.encode(errors="surrogateescape") for name in names] == ODD_NAMES
    assert names[-1] == "utf-8 é"
    assert [value for _, value in found[odd].headers] == [b"1", None, b""]
    assert not any(record.headers for record in found if record.offset != odd)


def test_a_fetch_of_nothing_but_odd_names_is_read() -> None:
    assert len(records_of(fetched([ODD] * 3, [ODD], [ODD] * 2))) == 6


def test_reading_goes_on_from_the_middle_of_a_batch() -> None:
    data = batch_of([GOOD, GOOD, ODD, GOOD], offset=3) + batch_of([ODD], offset=7)
    assert [record.offset for record in records_of(data, offset=4)] == [4, 5, 6, 7]


def test_an_aborted_transaction_with_odd_names_stays_hidden() -> None:
    data = b"".join(
        [
            batch_of([ODD] * 2, offset=0, producer=7),
            batch_of([GOOD], offset=2),
            batch_of([ODD], offset=3),
            batch_of([GOOD], offset=4),
        ]
    )
    assert [record.offset for record in records_of(data, aborted=[(7, 0)])] == [2, 3, 4]


def test_a_batch_whose_bytes_have_changed_is_refused_whatever_its_names() -> None:
    data = bytearray(fetched([ODD, GOOD]))
    data[-3] ^= 1
    with pytest.raises(Unreadable) as error:
        records_of(bytes(data))
    assert (error.value.offset, error.value.end) == (0, None)


def test_every_field_is_as_it_was_sent_over_many_runs() -> None:
    sent: list[Sent] = [
        (
            None if n % 7 == 0 else b"k%d" % n,
            None if n % 5 == 0 else b"v%d" % n,
            ((b"name", b"%d" % n), (b"none", None)) if n % 3 == 0 else (),
        )
        for n in range(3 * RUN_RECORDS + 1)
    ]
    found = records_of(fetched(sent))
    assert [record.offset for record in found] == list(range(len(sent)))
    assert [(record.key, record.value) for record in found] == [one[:2] for one in sent]
    as_text = [tuple((name.decode(), held) for name, held in headers) for _, _, headers in sent]
    assert [tuple(record.headers) for record in found] == as_text
    assert all(record.timestamp_ms >= 0 for record in found)


async def test_a_hand_out_ends_soon_after_its_most_bytes_and_the_next_goes_on() -> None:
    place = TopicPartition("telemetry.meter", 0)
    assignment = ManualSubscription({place}).assignment
    position = assignment.state_value(place)
    position.seek(0)
    half = (b"k", b"x" * (HANDED_OUT_BYTES // 2), ())
    data = fetched(*[[half]] * 5)
    runs = PartitionRecords(place, Batches(data), None, 0, None, None, True, 1)
    result = FetchResult(place, assignment=assignment, partition_records=runs, backoff=0)
    handed_out = []
    while result.has_more():
        records = result.getall()
        handed_out.append((list(records.offsets), records.has_more))
        assert position.position == records.offsets[-1] + 1
    assert handed_out == [([0, 1], True), ([2, 3], True), ([4], False)]
    assert not result.getall()
