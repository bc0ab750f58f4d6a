"""Partitions are opened: each is read from its stored offset, if Kafka's log still holds it."""

import asyncio
from collections.abc import Collection

import structlog
from aiokafka import TopicPartition

from consumer.age import Age
from consumer.kafka.source import Source
from consumer.offsets import Offsets
from consumer.owned import Owned
from consumer.postgres.database import Database
from consumer.postgres.offsets import claim_offsets, end_suspended_flushes, read_offsets, read_times
from consumer.postgres.refusals import OFFSETS
from consumer.schedule import Schedule
from telemetry.streams import BY_TOPIC

log = structlog.get_logger()

SECOND_LOOK_S = 1.0


class Opener:
    """Finds out where to start the partitions that the group gives to this replica."""

    def __init__(
        self, *, source: Source, schedule: Schedule, database: Database, consumer_group: str
    ) -> None:
        self._source = source
        self._schedule = schedule
        self._database = database
        self._consumer_group = consumer_group

    async def open(self, partitions: Collection[TopicPartition]) -> None:
        """Start each partition at its stored offset, or stop it if that does not fit.

        One that was never read starts at its earliest record. Waits for as long as Kafka and
        PostgreSQL take to answer.
        """
        earliest, end = await self._source.bounds(partitions)
        offsets, times = await self._stored(earliest)
        # A former owner may have stored what came after Kafka was asked, and a broker that was
        # away may not know of it yet. So what seems to lie beyond the end is looked at again.
        if any(offsets[partition] > end[partition] for partition in partitions):
            await asyncio.sleep(SECOND_LOOK_S)
            _, end = await self._source.bounds(partitions)
        for partition in partitions:
            offset, first, last = offsets[partition], earliest[partition], end[partition]
            if not first <= offset <= last:
                self._source.stop(partition, stored=offset, earliest=first, end=last)
            elif self._source.open(partition, offset):
                stream, age = BY_TOPIC[partition.topic], Age(stored_at=times[partition])
                self._schedule.own(Owned(partition, stream, offset, age))
        log.info("partitions_opened", partitions=len(partitions))

    async def _stored(self, earliest: Offsets) -> tuple[Offsets, dict[TopicPartition, float]]:
        """Return the group's offsets, and when it last stored of each partition (s since 1970)."""

        async def read() -> tuple[Offsets, dict[TopicPartition, float]]:
            async with self._database.connection() as connection:
                # A former owner may hang in the middle of a flush.
                await end_suspended_flushes(connection, self._consumer_group)
                await claim_offsets(connection, self._consumer_group, earliest)
                times = await read_times(connection, self._consumer_group)
                return await read_offsets(connection, self._consumer_group), times

        return await self._database.patiently(read, work=OFFSETS)
