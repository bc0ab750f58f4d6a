"""The traps of aiokafka as a member of a group: commits, rebalances, heartbeats.

They are numbered as in docs/design.md; `test_traps_of_fetching.py` has the others.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import psycopg
import pytest
from aiokafka import TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import GroupLoadInProgressError

from consumer.kafka import source as source_module
from consumer.kafka.source import Source
from consumer.settings import FlushSettings, SourceSettings
from runtime.kafka.topics import DEFAULT_PARTITIONS
from telemetry.streams import METER
from tests.acceptance.conftest import Environment, query
from tests.acceptance.member import (
    Held,
    Opener,
    a_member,
    a_source,
    committed,
    eventually,
    join_anew,
    send,
)
from tests.acceptance.readings import meter_messages

FIRST, SECOND = (TopicPartition(METER.topic, number) for number in range(2))
READINGS = "SELECT count(*) FROM meter_history"


@pytest.fixture
async def source(environment: Environment) -> AsyncIterator[Source]:
    async with a_source(environment) as source:
        yield source


# 4. commit() of an earlier assignment can rewind the group's offset.


async def test_a_commit_of_an_earlier_assignment_does_not_rewind_the_groups_offset(
    source: Source, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "_COMMIT_TIMEOUT_S", 0.5)
    base = send(environment, FIRST, meter_messages(10))
    opener = Opener(source, {FIRST: base})
    await source.start(opener)
    with Held(source._member.commit, before=True) as late:
        with monkeypatch.context() as patch:
            patch.setattr(source._member, "commit", late)
            committing = asyncio.create_task(source.commit({FIRST: base + 1}))
            await late.reached.wait()

        async def drain() -> None:
            monkeypatch.setattr(source_module, "_COMMIT_TIMEOUT_S", 5.0)
            assert await source.commit({FIRST: base + 9})

        opener.on_revoked = drain
        await opener.rebalance()
    await committing
    assert await committed(environment, FIRST) == base + 9


async def test_offsets_of_a_partition_that_has_moved_on_are_not_committed_again(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "_COMMIT_TIMEOUT_S", 0.5)
    async with a_member(environment, flush_interval_ms=50) as member:
        await eventually(lambda: len(member.schedule.owned) == 24, what="all opened")
        client = member.source._member
        commit, revoke = client.commit, member.pipeline.revoked
        told: list[dict[TopicPartition, int]] = []
        revoked = asyncio.Event()

        async def tell(offsets: dict[TopicPartition, int]) -> None:
            told.append(offsets)
            await commit(offsets)

        async def let_go(partitions: set[TopicPartition]) -> None:
            await revoke(partitions)
            told.clear()
            revoked.set()

        monkeypatch.setattr(member.pipeline, "revoked", let_go)
        with Held(tell, before=True) as late:
            client.commit = late
            send(environment, FIRST, meter_messages(10))
            await late.reached.wait()
            join_anew(member.source)
            await revoked.wait()
            await eventually(lambda: len(member.schedule.owned) == 24, what="all opened again")
        send(environment, SECOND, meter_messages(10))
        await eventually(lambda: any(SECOND in one for one in told), what="committed again")
        assert not any(FIRST in one for one in told)


# 5. Two consumers of one process collide in what an assignor keeps in its class.


async def test_two_members_in_one_process_share_the_partitions(
    source: Source, environment: Environment
) -> None:
    async with a_source(environment) as another:
        members = [Opener(source, {}), Opener(another, {})]
        for opener in members:
            await opener.source.start(opener)
            assert opener.source._member._coordinator._assignors == [RoundRobinPartitionAssignor]
        await eventually(
            lambda: [len(opener.owned) for opener in members] == [DEFAULT_PARTITIONS] * 2,
            what="each has one half",
        )
        assert not members[0].owned & members[1].owned


# 6. commit() retries for ever.


async def test_a_commit_that_is_never_taken_is_given_up(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "_COMMIT_TIMEOUT_S", 0.5)
    await source.start(Opener(source, {}))
    tries = count()

    async def refuse(*_: Any) -> None:
        next(tries)
        raise GroupLoadInProgressError

    monkeypatch.setattr(source._member._coordinator, "_do_commit_offsets", refuse)
    async with asyncio.timeout(10):
        assert not await source.commit({FIRST: 0, SECOND: 0})
    assert next(tries) > 1


async def test_nothing_waits_for_a_commit_and_one_call_takes_all_partitions(
    environment: Environment,
) -> None:
    async with a_member(environment, flush_interval_ms=50) as member:
        await eventually(lambda: len(member.schedule.owned) == 24, what="all opened")
        commit = member.source._member.commit
        told: list[dict[TopicPartition, int]] = []

        async def watched(offsets: dict[TopicPartition, int]) -> None:
            told.append(offsets)
            await hanging(offsets)

        hanging = Held(commit, before=True)
        member.source._member.commit = watched
        send(environment, FIRST, meter_messages(10))
        await hanging.reached.wait()
        send(environment, FIRST, meter_messages(300))
        send(environment, SECOND, meter_messages(300, devices=50))
        stored = {"topic": METER.topic, "outcome": "stored"}
        await eventually(
            lambda: member.metric("telemetry_messages_total", **stored) >= 310, what="stored"
        )
        hanging.let_go.set()
        await eventually(lambda: len(told) > 1, what="committed again")
        assert told[1].keys() >= {FIRST, SECOND}


# 8. The group waits for a member that flushes, but not for ever.


def test_a_rebalance_leaves_time_for_the_last_flush_and_its_commit() -> None:
    flush, source = FlushSettings(), SourceSettings()
    assert (flush.revoke_timeout_s, source.kafka_rebalance_timeout_ms) == (20, 30_000)
    assert flush.revoke_timeout_s + source_module._COMMIT_TIMEOUT_S < 30


async def test_the_client_is_told_how_long_a_rebalance_may_take(source: Source) -> None:
    await source.start(Opener(source, {}))
    assert source._member._coordinator._rebalance_timeout_ms == 30_000


async def test_a_flush_that_hangs_does_not_keep_the_group_waiting(
    environment: Environment,
) -> None:
    with psycopg.connect(environment["DATABASE_URL"]) as other:
        async with a_member(environment, flush_interval_ms=50, revoke_timeout_s=0.5) as member:
            await eventually(lambda: len(member.schedule.owned) == 24, what="all opened")
            other.execute("LOCK TABLE meter_history IN ACCESS EXCLUSIVE MODE")
            send(environment, FIRST, meter_messages(10))
            await eventually(
                lambda: any(owned.is_under_way for owned in member.schedule.owned),
                what="a flush is under way",
            )
            async with asyncio.timeout(10):
                await member.source.on_partitions_revoked({FIRST})
            assert not member.schedule.owned
            assert member.metric("telemetry_buffered_bytes") == 0
            join_anew(member.source)
            other.rollback()
            await eventually(
                lambda: query(environment, READINGS)[0][0] >= 10, what="read again and stored"
            )


# 9. Heartbeats run on our event loop.


@pytest.mark.parametrize("good", [True, False], ids=["good", "odd"])
async def test_a_big_flush_does_not_keep_heartbeats_from_the_loop(
    environment: Environment, good: bool
) -> None:
    rows = 20_000
    messages = list(meter_messages(rows))
    if not good:  # the definition judges each: the slow way
        messages = [(key, value.replace(b"kwh", b"KWH")) for key, value in messages]
    send(environment, FIRST, messages)
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - begun)

    async with a_member(environment, flush_interval_ms=60_000) as member:
        beating = asyncio.create_task(beat())
        outcome = "stored" if good else "dead_lettered"
        labels = {"topic": METER.topic, "outcome": outcome}
        await eventually(
            lambda: member.metric("telemetry_messages_total", **labels) >= rows, what="flushed"
        )
        beating.cancel()
        largest = member.metric("telemetry_batch_rows_sum", topic=METER.topic)
        assert largest / member.metric("telemetry_batch_rows_count", topic=METER.topic) >= rows
    # Far below what is allowed, and no measure of speed: a tenth is 4.5 s.
    assert longest < SourceSettings().kafka_session_timeout_ms / 1_000 / 10
