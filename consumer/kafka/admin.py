"""Questions to Kafka that commands and watchers ask: where logs begin and end, and who reads them.

Everything here raises KafkaError, OSError or TimeoutError, the last after 10 s.
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
from consumer.kafka import aiokafka_patches
from consumer.kafka.client import stop
from consumer.offsets import Bounds, Offsets
from runtime.kafka.brokers import explained
from runtime.kafka.settings import KafkaSettings

PATIENCE_S = 10.0
NO_LEADER = -1

_COORDINATOR_IS_NEW = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)


@dataclass(frozen=True, slots=True)
class Member:
    """A replica, as the group's coordinator knows it."""

    id: str
    client: str
    host: str
    partitions: frozenset[TopicPartition]


@dataclass(frozen=True, slots=True)
class Group:
    """The group's members; `is_settled` unless it rebalances, and partitions change owners."""

    is_settled: bool
    members: tuple[Member, ...]

    def owner(self, partition: TopicPartition) -> Member | None:
        """Return the member that owns the partition, if one does."""
        return next((one for one in self.members if partition in one.partitions), None)


async def read_bounds(
    kafka: KafkaSettings, topics: Collection[str]
) -> dict[TopicPartition, Bounds]:
    """Return the bounds of every partition of these topics; one that does not exist has none."""
    partitions = list(await list_leaders(kafka, topics))
    async with consumer_of(kafka) as consumer:
        earliest = await consumer.beginning_offsets(partitions)
        end = await consumer.end_offsets(partitions)
    return {one: Bounds(earliest[one], end[one]) for one in partitions}


async def list_leaders(kafka: KafkaSettings, topics: Collection[str]) -> dict[TopicPartition, int]:
    """Return the id of the broker that leads each partition of these topics, or NO_LEADER.

    A topic that does not exist has no partitions.
    """
    async with _admin(kafka) as admin:
        # All topics are listed: to ask for one by name could create it.
        found = [one for one in await admin.describe_topics() if one["topic"] in topics]
    return {
        TopicPartition(one["topic"], each["partition"]): each["leader"]
        for one in found
        for each in one["partitions"]
    }


async def find_times(
    kafka: KafkaSettings, partitions: Collection[TopicPartition], instant_ms: int
) -> Offsets:
    """Return each partition's first offset of this time or later; one without any is left out.

    The time is in milliseconds since 1970-01-01 UTC. Kafka compares it with the records' own times.
    """
    async with consumer_of(kafka) as consumer:
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, instant_ms))
    return {one: record.offset for one, record in found.items() if record is not None}


async def read_group(kafka: KafkaSettings, consumer_group: str) -> Group:
    """Return the members of the group, and the partitions of each."""
    async with _admin(kafka) as admin:
        # The first question to a new cluster makes the broker create the topic of the answers.
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
    """Return what a member was given; nothing if the bytes follow another protocol."""
    try:
        owned = ConsumerProtocolMemberAssignment.decode(assignment) if assignment else None
        return frozenset(owned.partitions() if owned else ())
    except (ValueError, TypeError):
        return frozenset()


async def commit_offsets(
    kafka: KafkaSettings, consumer_group: str, offsets: Mapping[TopicPartition, int]
) -> None:
    """Set the group's offsets in Kafka, for lag tools only; refused while it has members."""
    async with consumer_of(kafka, group_id=consumer_group, enable_auto_commit=False) as consumer:
        consumer.assign(list(offsets))
        await consumer.commit(dict(offsets))


@asynccontextmanager
async def consumer_of(kafka: KafkaSettings, **settings: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """Lend a started consumer; it has no group unless `settings` name one."""
    aiokafka_patches.install()
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
