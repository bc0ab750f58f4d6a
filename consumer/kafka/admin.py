"""Kafka, as the commands of operators ask it: where logs begin and end, and who reads them.

Everything here raises KafkaError, OSError or TimeoutError: an operator waits 10 s at most.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    for_code,
)
from tenacity import AsyncRetrying, retry_if_exception_type

from consumer.backoff import backoff
from consumer.kafka.connection import stop
from consumer.offsets import Bounds, Offsets
from runtime.kafka.brokers import explained
from runtime.kafka.settings import KafkaSettings

PATIENCE_S = 10.0

_COORDINATOR_IS_NEW = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)


@dataclass(frozen=True, slots=True)
class Member:
    """A replica as the group's coordinator knows it."""

    id: str
    client: str
    host: str
    partitions: frozenset[TopicPartition]


@dataclass(frozen=True, slots=True)
class Group:
    """The group's members; while it rebalances, who owns what is not settled."""

    is_settled: bool
    members: tuple[Member, ...]

    def owner(self, partition: TopicPartition) -> Member | None:
        """Return the member that owns the partition, if one does."""
        return next((one for one in self.members if partition in one.partitions), None)


async def read_bounds(
    kafka: KafkaSettings, topics: Collection[str]
) -> dict[TopicPartition, Bounds]:
    """Return the bounds of every partition of those topics that exist."""
    partitions = await list_partitions(kafka, topics)
    async with a_consumer(kafka) as consumer:
        earliest = await consumer.beginning_offsets(partitions)
        end = await consumer.end_offsets(partitions)
    return {one: Bounds(earliest[one], end[one]) for one in partitions}


async def list_partitions(kafka: KafkaSettings, topics: Collection[str]) -> list[TopicPartition]:
    """Return every partition of those topics that exist."""
    async with _admin(kafka) as admin:
        # All topics are listed: asking for one by name could make it.
        found = [one for one in await admin.describe_topics() if one["topic"] in topics]
    return [
        TopicPartition(one["topic"], each["partition"])
        for one in found
        for each in one["partitions"]
    ]


async def find_times(
    kafka: KafkaSettings, partitions: Collection[TopicPartition], instant_ms: int
) -> Offsets:
    """Return each partition's first offset of this time or later; without those that have none.

    The time is in milliseconds since 1970-01-01 UTC, and compared with the records' own in Kafka.
    """
    async with a_consumer(kafka) as consumer:
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, instant_ms))
    return {one: record.offset for one, record in found.items() if record is not None}


async def read_group(kafka: KafkaSettings, consumer_group: str) -> Group:
    """Return who is in the group, and owns what."""
    async with _admin(kafka) as admin:
        # The first question of all makes the broker make the topic that the answer is in.
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(_COORDINATOR_IS_NEW), wait=backoff(1.0)
        ):
            with attempt:
                [answer] = await admin.describe_consumer_groups([consumer_group])
                [(code, _, state, _, _, members, *_)] = answer.groups
                if code:
                    raise for_code(code)(consumer_group)
    return Group(
        is_settled=state in ("Stable", "Empty", "Dead"),
        members=tuple(_member(*one[:3], assignment=one[4]) for one in members),
    )


def _member(name: str, client: str, host: str, *, assignment: bytes) -> Member:
    return Member(name, client, host.lstrip("/"), _owned(assignment))


def _owned(assignment: bytes) -> frozenset[TopicPartition]:
    """Return what a member was given; nothing where its bytes are another protocol's."""
    try:
        owned = ConsumerProtocolMemberAssignment.decode(assignment) if assignment else None
        return frozenset(owned.partitions() if owned else ())
    except (ValueError, TypeError):
        return frozenset()


async def commit_offsets(
    kafka: KafkaSettings, consumer_group: str, offsets: Mapping[TopicPartition, int]
) -> None:
    """Set what Kafka has of the group, for lag tools only; it refuses while there are members."""
    async with a_consumer(kafka, group_id=consumer_group, enable_auto_commit=False) as consumer:
        consumer.assign(list(offsets))
        await consumer.commit(dict(offsets))


@asynccontextmanager
async def a_consumer(kafka: KafkaSettings, **settings: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A client that is started; it has no group where none is given."""
    consumer = AIOKafkaConsumer(**kafka.aiokafka(), isolation_level="read_committed", **settings)
    try:
        async with explained(kafka), asyncio.timeout(PATIENCE_S):
            await consumer.start()
            yield consumer
    finally:
        await stop(consumer)


@asynccontextmanager
async def _admin(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**kafka.aiokafka())
    try:
        async with explained(kafka), asyncio.timeout(PATIENCE_S):
            await admin.start()
            yield admin
    finally:
        await admin.close()
