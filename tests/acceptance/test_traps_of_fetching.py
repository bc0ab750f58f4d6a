"""The traps of aiokafka that lose or misplace what was fetched, open unless something closes them.

They are numbered as in docs/design.md; `test_traps_of_the_group.py` has the others. The client, the
broker and the database are real; where a trap needs two things to happen in one order, a single
method of the client is held meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvloop
from aiokafka import TopicPartition
from aiokafka.conn import create_conn
from aiokafka.errors import CorruptRecordException, KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from consumer.kafka.aiokafka_patches import install
from consumer.kafka.fetched import PartitionRecords
from consumer.kafka.records import Records
from consumer.kafka.source import Source
from deploy.local.stack import Addresses
from telemetry.streams import METER
from tests.acceptance.conftest import Environment
from tests.acceptance.member import Held, Opener, a_source, eventually, join_anew, send
from tests.acceptance.readings import meter_messages

FIRST, SECOND = (TopicPartition(METER.topic, number) for number in range(2))
Fetched = dict[TopicPartition, Records]


@pytest.fixture
async def source(environment: Environment) -> AsyncIterator[Source]:
    async with a_source(environment) as source:
        yield source


async def fetch(source: Source, *partitions: TopicPartition) -> Fetched:
    return await source.fetch(partitions, timeout=0.05)


async def first_offset(source: Source, partition: TopicPartition) -> int:
    """Return the offset of the next record that is handed out of the partition."""
    while True:
        fetched = await fetch(source, partition)
        if fetched:
            return fetched[partition][0].offset


# 1. An exception inside getmany() loses what other partitions had fetched.


async def test_what_one_partition_had_fetched_is_not_lost_when_another_cannot_be_parsed(
    source: Source, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    offsets = {place: send(environment, place, meter_messages(10)) for place in (FIRST, SECOND)}
    parsed: set[TopicPartition] = set()
    failed = asyncio.Event()
    parse = PartitionRecords.__next__

    def corrupt_once(records: Any) -> Any:
        parsed.add(records._tp)
        if len(parsed) == 2 and not failed.is_set():
            failed.set()  # the other one is taken out already, and its position moved on
            raise CorruptRecordException
        return parse(records)

    monkeypatch.setattr(PartitionRecords, "__next__", corrupt_once)
    opener = Opener(source, offsets)
    await source.start(opener)
    # Both are in one answer of the broker: a single call of getmany() comes upon both.
    ready = source._member._fetcher._records
    await eventually(lambda: ready.keys() >= offsets.keys(), what="both are fetched")
    assert await fetch(source, FIRST, SECOND) == {}
    assert failed.is_set()
    for place in offsets:  # else a test of a loss would wait for ever
        send(environment, place, meter_messages(1))
    assert {place: await first_offset(source, place) for place in offsets} == offsets


# 2. getmany() must never be cancelled.


async def test_a_fetch_outlasts_a_rebalance_and_is_not_cancelled(
    source: Source, environment: Environment
) -> None:
    opener = Opener(source, {FIRST: send(environment, FIRST, meter_messages(10))})
    await source.start(opener)
    with Held(asyncio.sleep, before=True) as revoking:
        opener.on_revoked = lambda: revoking(0)
        join_anew(source)
        await revoking.reached.wait()
        fetching = asyncio.create_task(fetch(source, FIRST))
        await asyncio.wait([fetching], timeout=0.25)  # five times as long as it was told to wait
        assert not fetching.done()
    assert await fetching == {}
    assert source._member._subscription._fetch_count == 0


# 3. getmany() is not gated by on_partitions_assigned.


async def test_what_was_fetched_before_a_rebalance_is_not_handed_out_after_it(
    source: Source, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = send(environment, FIRST, meter_messages(10))
    opener = Opener(source, {FIRST: base + 5})
    await source.start(opener)
    with Held(source._member.getmany) as late, monkeypatch.context() as patch:
        patch.setattr(source._member, "getmany", late)
        fetching = asyncio.create_task(source.fetch([FIRST], timeout=10.0))
        await late.reached.wait()
        opener.offsets = {FIRST: base}  # another member had gone no further than this
        await opener.rebalance()
    assert await fetching == {}
    assert await first_offset(source, FIRST) == base


async def test_what_arrives_before_the_callback_begins_is_not_handed_out(
    source: Source, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = send(environment, FIRST, meter_messages(10))
    opener = Opener(source, {FIRST: base})
    await source.start(opener)
    assert await source.commit({FIRST: base + 5})  # where aiokafka starts by itself
    arrived: list[int] = []
    getmany = source._member.getmany

    async def watched(*partitions: TopicPartition, **limits: Any) -> Any:
        fetched = await getmany(*partitions, **limits)
        arrived.extend(fetched[FIRST].offsets if FIRST in fetched else ())
        return fetched

    with Held(source.on_partitions_assigned, before=True) as callback:
        monkeypatch.setattr(source, "on_partitions_assigned", callback)
        opener.has_partitions.clear()
        join_anew(source)
        await callback.reached.wait()
        monkeypatch.setattr(source._member, "getmany", watched)
        while not arrived:
            assert await fetch(source, FIRST) == {}
        assert arrived[0] == base + 5
    await opener.has_partitions.wait()
    assert await first_offset(source, FIRST) == base


async def test_what_a_fetch_that_spans_a_rebalance_brings_is_handed_out_by_the_next(
    source: Source, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = send(environment, FIRST, meter_messages(10))
    opener = Opener(source, {FIRST: base})
    await source.start(opener)
    ready = source._member._fetcher._records
    with Held(source._member.getmany, before=True) as late, monkeypatch.context() as patch:
        patch.setattr(source._member, "getmany", late)
        fetching = asyncio.create_task(source.fetch([FIRST], timeout=10.0))
        await late.reached.wait()
        await opener.rebalance()
        await eventually(lambda: FIRST in ready, what="fetched from where it was opened anew")
    assert await fetching == {}
    send(environment, FIRST, meter_messages(1))  # else a test of a loss would wait for ever
    assert await first_offset(source, FIRST) == base


# 7. What a rebalance callback raises is only logged.


async def test_what_a_rebalance_callback_raises_comes_out_of_the_next_fetch(
    source: Source, environment: Environment
) -> None:
    opener = Opener(source, {FIRST: send(environment, FIRST, meter_messages(10))})
    await source.start(opener)

    async def fail() -> None:
        raise LookupError("on purpose")

    opener.on_revoked = fail
    await opener.rebalance()
    with pytest.raises(LookupError, match="on purpose"):
        await fetch(source, FIRST)


# Beside these: uvloop refuses to write to a connection that has just broken.


def test_a_request_on_a_connection_that_has_broken_is_an_error_of_kafkas(
    servers: Addresses,
) -> None:
    install()
    host, port = servers.kafka_bootstrap_servers.split(":")

    async def break_and_send() -> None:
        connection = await create_conn(host, int(port))
        connection._read_task.cancel()  # it would notice, a turn of the loop too late
        transport = connection._writer.transport
        transport.abort()
        while "closed=True" not in repr(transport):
            await asyncio.sleep(0)
        await connection.send(MetadataRequest([]))

    with pytest.raises(KafkaConnectionError, match="closed"):
        uvloop.run(break_and_send())
