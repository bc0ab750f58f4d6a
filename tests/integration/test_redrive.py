"""The way of dead letters back to a real Kafka."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from consumer.dead_letters import redrive as redriving
from consumer.dead_letters import table
from consumer.dead_letters.delivery import NAME_IS_NOT_UTF8, NOT_WHOLE, Tally
from consumer.dead_letters.headers import StoredHeader
from consumer.dead_letters.redrive import Redrive
from consumer.dead_letters.table import READ_AT_ONCE, Choice, count_dead_letters, read_dead_letters
from consumer.kafka.aiokafka_patches import install
from consumer.kafka.records import Record, Records
from consumer.postgres.connection import Connection, connect
from consumer.settings import DatabaseSettings
from deploy.local.stack import Addresses
from runtime.kafka.settings import KafkaSettings
from tests import kafka_clients
from tests.integration.conftest import GROUP, rows
from tests.integration.dead_letters import CHOICE, encoded, write, write_many

PARTITIONS = 3
SMALL = 2_000  # bytes that the topics take


@pytest.fixture
def kafka(servers: Addresses) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=servers.kafka_bootstrap_servers)


@pytest.fixture
async def topic(kafka: KafkaSettings) -> AsyncIterator[str]:
    """A topic of the test's own that takes small messages only."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    admin = AIOKafkaAdminClient(**kafka.aiokafka())
    await admin.start()
    configs = {"max.message.bytes": str(SMALL)}
    await admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=configs)])
    yield name
    await admin.delete_topics([name])
    await admin.close()


async def redrive(
    connection: Connection,
    kafka: KafkaSettings,
    *,
    again: bool = False,
    choice: Choice = CHOICE,
    on_page: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Redrive until nothing is left."""
    tally = Tally()
    await Redrive(
        connection=connection,
        kafka=kafka,
        choice=choice,
        again=again,
        rate=None,
        stopping=asyncio.Event(),
        tally=tally,
    ).run(on_page=lambda: on_page(tally))
    return tally


async def received(kafka: KafkaSettings, topic: str) -> list[Record]:
    """Return all that the topic holds, by partition and offset."""
    return [record for records in (await by_partition(kafka, topic)).values() for record in records]


async def by_partition(kafka: KafkaSettings, topic: str) -> dict[int, Records]:
    """Return all that each partition of the topic holds, in order."""
    install()  # what is fetched becomes Records
    consumer = AIOKafkaConsumer(**kafka.aiokafka(), auto_offset_reset="earliest")
    await consumer.start()
    found = {number: Records() for number in range(PARTITIONS)}
    try:
        places = [TopicPartition(topic, number) for number in found]
        consumer.assign(places)
        for place, end in (await consumer.end_offsets(places)).items():
            while await consumer.position(place) < end:
                fetched = await consumer.getmany(place, timeout_ms=1_000)
                found[place.partition].extend(fetched.get(place, Records()))
    finally:
        await consumer.stop()
    return found


async def marked(connection: Connection) -> list[Any]:
    """Return the offsets of the letters that are marked as redriven."""
    found = await rows(
        connection, "SELECT record_offset FROM dead_letter WHERE redriven_at IS NOT NULL ORDER BY 1"
    )
    return [offset for (offset,) in found]


async def test_a_letter_goes_out_as_it_came(
    connection: Connection, kafka: KafkaSettings, topic: str
) -> None:
    headers: list[StoredHeader] = [
        ["trace", encoded(b"\x00\xff")],
        ["trace", None],
        ["", encoded(b"")],
        ["n\ufffdl", encoded(b"1"), encoded(b"n\x00l")],
    ]
    await write(connection, topic, 1, key=b"\x00\xfe", value=b"\xff{\x00", headers=headers)
    await write(connection, topic, 2, key=None, value=b"no key")
    await write(connection, topic, 3, key=b"no value", value=None)
    await write(connection, topic, 4, key=None, value=None, headers=[["only", encoded(b"this")]])
    begun_ms = datetime.now(UTC).timestamp() * 1_000
    tally = await redrive(connection, kafka)
    assert (tally.sent, tally.left_out.total()) == (4, 0)
    found = {(record.key, record.value): record for record in await received(kafka, topic)}
    assert found.keys() == {
        (b"\x00\xfe", b"\xff{\x00"),
        (None, b"no key"),
        (b"no value", None),
        (None, None),
    }
    assert found[b"\x00\xfe", b"\xff{\x00"].headers == (
        ("trace", b"\x00\xff"),
        ("trace", None),
        ("", b""),
        ("n\x00l", b"1"),
    )
    assert found[None, None].headers == (("only", b"this"),)
    assert all(record.timestamp_ms >= begun_ms - 1 for record in found.values())
    assert await marked(connection) == [1, 2, 3, 4]


async def test_a_letter_goes_to_the_partition_of_its_key_in_the_order_of_its_device(
    connection: Connection, kafka: KafkaSettings, topic: str
) -> None:
    await write_many(connection, topic, 250)
    await redrive(connection, kafka)
    partitioner = {"partitioner": "murmur2_random"}
    with kafka_clients.producer(kafka.bootstrap_servers, partitioner) as producer:
        for number in range(10):
            producer.produce(topic, key=f"mtr-{number}", value=b"as any producer would")
        assert producer.flush(30) == 0
    places: dict[bytes, set[int]] = {}
    values: dict[bytes, list[int]] = {}
    for partition, records in (await by_partition(kafka, topic)).items():
        for record in records:
            assert record.key is not None
            assert record.value is not None
            places.setdefault(record.key, set()).add(partition)
            if record.value.isdigit():
                values.setdefault(record.key, []).append(int(record.value))
    assert len(places) == 10
    assert all(len(partitions) == 1 for partitions in places.values())
    for sent in values.values():
        assert len(sent) == 25
        assert all(earlier < later for earlier, later in pairwise(sent))


async def test_a_name_that_is_not_utf8_is_left_out_and_its_neighbours_are_sent(
    connection: Connection, kafka: KafkaSettings, topic: str
) -> None:
    await write(connection, topic, 1)
    await write(connection, topic, 2, headers=[["\ufffd", None, encoded(b"\xff")]])
    await write(connection, topic, 3)
    tally = await redrive(connection, kafka)
    assert tally.sent == 2
    assert tally.left_out == {NAME_IS_NOT_UTF8: 1}
    assert tally.examples[NAME_IS_NOT_UTF8].record_offset == 2
    assert await marked(connection) == [1, 3]


async def test_a_letter_larger_than_the_topic_takes_is_left_out_and_others_go_on(
    connection: Connection, kafka: KafkaSettings, topic: str
) -> None:
    """Of the same partition, and in one batch with it, small ones are sent all the same."""
    for offset in range(1, 9):
        value = b"x" * (SMALL + 1) if offset in (3, 6) else str(offset).encode()
        await write(connection, topic, offset, value=value)
    tally = await redrive(connection, kafka)
    assert tally.sent == 6
    assert tally.left_out == {"larger than the topic takes": 2}
    assert await marked(connection) == [1, 2, 4, 5, 7, 8]
    values = Counter(record.value for record in await received(kafka, topic))
    assert values == Counter([b"1", b"2", b"4", b"5", b"7", b"8"])


async def test_a_letter_that_is_not_whole_is_left_out_and_its_neighbours_are_sent(
    connection: Connection, kafka: KafkaSettings, topic: str
) -> None:
    for offset in (1, 2, 3):
        await write(connection, topic, offset)
    await connection.execute(
        "UPDATE dead_letter SET is_whole = false, key_bytes = 5, value_bytes = 5000,"
        " value_sha256 = sha256('x'), header_count = 1 WHERE record_offset = 2"
    )
    tally = await redrive(connection, kafka)
    assert (tally.sent, tally.left_out) == (2, {NOT_WHOLE: 1})
    assert tally.examples[NOT_WHOLE].record_offset == 2
    assert await marked(connection) == [1, 3]
    assert (await redrive(connection, kafka, again=True)).left_out == {NOT_WHOLE: 1}
    [count] = await count_dead_letters(connection, CHOICE)
    assert (count.messages, count.redriven, count.cut) == (3, 2, 1)
    exported = [letter.exported(GROUP) async for letter in read_dead_letters(connection, CHOICE)]
    assert [letter["is_whole"] for letter in exported] == [True, False, True]
    assert exported[0]["value_sha256"] is None
    assert exported[1]["value_sha256"] == sha256(b"x").hexdigest()
    assert (exported[1]["key_bytes"], exported[1]["value_bytes"]) == (5, 5_000)


async def test_two_redrives_at_once_send_no_letter_twice(
    connection: Connection, kafka: KafkaSettings, topic: str, database_settings: DatabaseSettings
) -> None:
    count = 12 * READ_AT_ONCE
    await write_many(connection, topic, count)
    async with AsyncExitStack() as stack:
        connections = [await connect(database_settings) for _ in range(3)]
        for one in connections:
            stack.push_async_callback(one.close)
        tallies = await asyncio.gather(*(redrive(one, kafka) for one in connections))
    assert sum(tally.sent for tally in tallies) == count
    values = Counter(int(record.value or b"") for record in await received(kafka, topic))
    assert values == Counter(range(1, count + 1))
    assert await marked(connection) == list(range(1, count + 1))


async def test_what_another_session_holds_is_passed_over(
    connection: Connection, kafka: KafkaSettings, topic: str, database_settings: DatabaseSettings
) -> None:
    await write_many(connection, topic, 3)
    other = await connect(database_settings)
    async with other, other.transaction():
        await other.execute("SELECT FROM dead_letter WHERE record_offset = 2 FOR UPDATE")
        assert (await redrive(connection, kafka)).sent == 2
        assert await marked(connection) == [1, 3]


async def test_letters_are_read_and_redriven_a_few_bytes_at_a_time(
    connection: Connection, kafka: KafkaSettings, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large it is, one letter alone is never too much."""
    for module in (table, redriving):
        monkeypatch.setattr(module, "READ_BYTES_AT_ONCE", 1_000)
    sizes = [1, 1, 600, 600, 600, 1_500, *[1] * 300]
    for offset, size in enumerate(sizes, start=1):
        await write(connection, topic, offset, value=b"x" * size)
    everything = list(range(1, len(sizes) + 1))
    read = [letter async for letter in read_dead_letters(connection, CHOICE)]
    assert [letter.record_offset for letter in read] == everything
    assert [len(letter.value or b"") for letter in read] == sizes
    pages: list[int] = []
    tally = await redrive(connection, kafka, on_page=lambda so_far: pages.append(so_far.sent))
    assert pages[:4] == [3, 4, 5, 6]
    assert all(later - earlier <= READ_AT_ONCE for earlier, later in pairwise(pages))
    assert tally.sent == len(sizes)
    assert await marked(connection) == everything


async def test_only_what_is_chosen_not_yet_redriven_and_older_than_the_redrive_is_sent(
    connection: Connection, kafka: KafkaSettings, topic: str
) -> None:
    await write(connection, topic, 1)
    await write(connection, topic, 2, reason="too_old")
    await write(connection, topic, 3, group="another")
    await write(connection, topic, 4, at=datetime.now(UTC) + timedelta(hours=1))
    chosen = Choice(consumer_group=GROUP, reason="malformed_json")
    assert (await redrive(connection, kafka, choice=chosen)).sent == 1
    assert await marked(connection) == [1]
    assert (await redrive(connection, kafka)).sent == 1
    assert await marked(connection) == [1, 2]
    assert (await redrive(connection, kafka)).sent == 0
    assert (await redrive(connection, kafka, again=True)).sent == 2
    assert len(await received(kafka, topic)) == 4
