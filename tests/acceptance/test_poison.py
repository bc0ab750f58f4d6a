"""Bad messages on their way through a real broker and a replica: each ends alone, by its reason."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

import pytest
from aiokafka import AIOKafkaProducer

from deploy.replica import Replica
from runtime.kafka.settings import KafkaSettings
from telemetry.reasons import Reason
from telemetry.streams import METER, STREAMS, Stream
from tests.acceptance.conftest import Environment, query, until
from tests.acceptance.test_service import DEAD, DUPLICATES, STORED
from tests.poison import corpus, reading
from tests.record_batches import Sent, send_batch

Start = Callable[..., Replica]

# What a broker takes by default, of a batch.
BROKER_LIMIT_BYTES = 1_048_588
MALFORMED = "malformed_json"
ODD_NAMES = ((b"latin-\xe9", b"1"), (b"nul\x00", None))
ODD_SHOWN = [["latin-\ufffd", "MQ==", "bGF0aW4t6Q=="], ["nul\ufffd", None, "bnVsAA=="]]


def plain(value: bytes | None, key: bytes | None = b"key") -> Sent:
    return key, value, ()


def meters(count: int, *, name: str) -> list[bytes]:
    """Return good messages of as many devices, taken now."""
    now_us = time.time_ns() // 1_000
    return [reading(METER, f"{name}-{place}", now_us) for place in range(count)]


def send(
    environment: Environment,
    batches: Iterable[Sequence[Sent]],
    *,
    stream: Stream = METER,
    partition: int = 0,
    codec: int = 0,
) -> list[int]:
    """Send each batch as one and return the offsets of all records."""

    async def sent() -> list[int]:
        kafka = KafkaSettings(bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"])
        offsets: list[int] = []
        async with AIOKafkaProducer(**kafka.aiokafka(), acks="all") as producer:
            for batch in batches:
                first = await send_batch(producer, stream.topic, partition, batch, codec)
                offsets += range(first, first + len(batch))
        return offsets

    return asyncio.run(sent())


def until_read(environment: Environment, after: int, *, stream: Stream = METER) -> None:
    """Return once all of partition 0 up to this offset is stored."""
    stored = (
        f"SELECT next_offset > {after} FROM ingest_offset"
        f" WHERE topic = '{stream.topic}' AND partition = 0"
    )
    until(lambda: query(environment, stored) == [(True,)], what="all read")


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_every_input_of_the_corpus_ends_by_its_reason_among_good_readings(
    start: Start, environment: Environment, stream: Stream
) -> None:
    replica = start()
    now_us = time.time_ns() // 1_000
    inputs = [
        (value, reason)
        for value, reason in corpus(stream, now_us).values()
        if value is None or len(value) <= 1_000_000
    ]
    good = [reading(stream, f"good-{place}", now_us) for place in range(len(inputs))]
    values: list[bytes | None] = [good[0], good[0].replace(b":0.", b":1.")]
    ends = [None, Reason.CONFLICTING_DUPLICATE]
    for (value, reason), neighbour in zip(inputs, good, strict=True):  # the first is a copy
        values += [value, neighbour]
        ends += [reason, None]
    offsets = send(environment, [[plain(value)] for value in values], stream=stream)
    until_read(environment, offsets[-1], stream=stream)

    dead = query(environment, "SELECT record_offset, reason, value FROM dead_letter")
    assert {offset: (reason, value) for offset, reason, value in dead} == {
        offset: (reason.value, value)
        for offset, value, reason in zip(offsets, values, ends, strict=True)
        if reason is not None
    }
    [(stored,)] = query(environment, f"SELECT count(*) FROM {stream.history}")
    assert stored == ends.count(None) - 1
    until(lambda: replica.metric(DUPLICATES) == 1, what="the copy counted")
    assert replica.metric(STORED) + 1 + replica.metric(DEAD) == len(values)
    assert not replica.events("fetch_failed")


@pytest.mark.parametrize(
    "bad",
    [set(range(50, 2_000, 100)), set(range(0, 2_000, 2)), set(range(2_000)), {0, 1_999}],
    ids=["1 %", "50 %", "all", "first and last"],
)
def test_bad_messages_cost_neither_their_siblings_nor_other_partitions(
    start: Start, environment: Environment, bad: set[int]
) -> None:
    replica = start()
    good = meters(2_000, name="sibling")
    batch = [plain(b"{" if place in bad else value) for place, value in enumerate(good)]
    send(environment, [[plain(value) for value in meters(500, name="other")]], partition=1)
    offsets = send(environment, [batch])
    until_read(environment, offsets[-1])
    until(lambda: replica.metric(STORED) == 2_500 - len(bad), what="all stored")
    dead = query(environment, "SELECT record_offset, reason FROM dead_letter")
    assert sorted(dead) == [(offsets[place], MALFORMED) for place in sorted(bad)]
    other = "SELECT count(*) FROM meter_history WHERE meter_id LIKE 'other-%'"
    assert query(environment, other) == [(500,)]
    assert replica.metric("telemetry_flush_retries_total") == 0


@pytest.mark.parametrize("codec", [0, 4], ids=["plain", "zstd"])
def test_headers_whose_names_are_not_text_cost_nothing_and_are_kept(
    start: Start, environment: Environment, codec: int
) -> None:
    replica = start()
    good = meters(9, name="named")
    named: list[Sent] = [(b"key", value, ODD_NAMES) for value in (good[0], b"{", good[1])]
    batches: list[list[Sent]] = [
        named,
        [*map(plain, good[2:5]), named[1], plain(good[5])],
        [*map(plain, good[6:])],
    ]
    send(environment, [[plain(value) for value in meters(500, name="other")]], partition=1)
    offsets = send(environment, batches, codec=codec)
    until_read(environment, offsets[-1])
    until(lambda: replica.metric(STORED) == 509, what="all stored")
    dead = query(environment, "SELECT record_offset, headers FROM dead_letter ORDER BY 1")
    assert dead == [(offsets[1], ODD_SHOWN), (offsets[6], ODD_SHOWN)]
    assert not replica.events("fetch_failed")


def test_keys_headers_and_sizes_at_the_broker_s_limit_are_taken(
    start: Start, environment: Environment
) -> None:
    replica = start()
    good = meters(6, name="odd")
    many = tuple((b"name-%d" % place, b"value") for place in range(1_000))
    largest = b"\xff" * 1_000_000
    long_key = b"k" * 1_000_000
    full = b"\xff" * (BROKER_LIMIT_BYTES - 61 - 15)  # a batch's own bytes, and a record's
    batches: list[list[Sent]] = [
        [plain(good[0], b"odd-0"), plain(good[1], b"another"), plain(good[2], None)],
        [(b"odd-3", good[3], many), (None, None, many)],
        [plain(good[4], long_key)],
        [plain(b"", long_key)],
        [plain(largest)],
        [plain(full, None)],
        [plain(good[5], b"odd-5")],
    ]
    offsets = send(environment, batches)
    until_read(environment, offsets[-1])
    until(lambda: replica.metric(STORED) == 6, what="all stored")
    assert replica.metric("telemetry_key_mismatches_total{") == 3
    dead = query(
        environment,
        "SELECT record_offset, reason, key, value, jsonb_array_length(headers)"
        " FROM dead_letter ORDER BY 1",
    )
    assert dead == [
        (offsets[4], "empty_value", None, None, 1_000),
        (offsets[6], "empty_value", long_key, b"", 0),
        (offsets[7], "oversized", b"key", largest, 0),
        (offsets[8], "oversized", None, full, 0),
    ]
