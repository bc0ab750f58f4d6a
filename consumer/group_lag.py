"""How much waits in all partitions of the topics, whichever member owns them.

A member of the group that is not ours takes its share of the partitions and may read nothing. What
comes behind an open transaction is handed out to no reader. A replica's own lag and its readiness
show neither. So every replica compares the end of every log, the high watermark, with the offset
that the group has stored.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

import psycopg
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from consumer.kafka import admin
from consumer.kafka.ends import Ends, Look, Unanswered
from consumer.kafka.source import Source
from consumer.metrics import Metrics
from consumer.offsets import Offsets
from consumer.owned import Owned
from consumer.postgres.database import Database
from consumer.postgres.offsets import read_offsets
from consumer.schedule import Schedule
from runtime.kafka.settings import KafkaSettings
from telemetry.streams import BY_TOPIC

log = structlog.get_logger()

_PATIENCE_S = 20.0
# The topics and the members are asked for at every 12th look, because that takes a client of its
# own. A transaction that is open at 12 looks in a row, by default a minute, is logged.
_LOOKS = 12
_OPEN_HELP = "a producer's: see docs/runbook.md, A transaction stays open"


class GroupLag:
    """Shows the group's lag at every look. Other parts report a server that is away."""

    def __init__(
        self,
        *,
        ends: Ends,
        kafka: KafkaSettings,
        consumer_group: str,
        source: Source,
        schedule: Schedule,
        open_forgotten: Callable[[Collection[Owned]], None],
        database: Database,
        metrics: Metrics,
    ) -> None:
        self._ends = ends
        self._kafka = kafka
        self._consumer_group = consumer_group
        self._source = source
        self._schedule = schedule
        self._open_forgotten = open_forgotten
        self._database = database
        self._metrics = metrics
        self._stored: Offsets = {}
        # By partition: where its open transaction begins, and how many looks in a row have seen it.
        self._open: dict[TopicPartition, tuple[int, int]] = {}

    async def run(self) -> None:
        """Show the group's lag for ever."""
        looks_left = 0
        while True:
            # Before the look, so that already the first one shows the partitions of all replicas.
            if looks_left == 0 or not self._ends.others:
                async with _patience():
                    await self._look_at_the_group()
                    looks_left = _LOOKS
            look = await self._ends.next()
            if isinstance(look, Unanswered):
                log.debug("group_lag_unknown", error=str(look.error))
                continue
            async with _patience():
                await self._show(look)
                looks_left = max(0, looks_left - 1)

    async def _look_at_the_group(self) -> None:
        leaders = await admin.list_leaders(self._kafka, list(BY_TOPIC))
        for topic in BY_TOPIC:
            count = sum(one.topic == topic for one in leaders)
            self._metrics.topic_partitions.labels(topic).set(count)
        # No broker answers for a log without a leader, and the look would wait for its end.
        self._ends.others = [one for one, leader in leaders.items() if leader != admin.NO_LEADER]
        group = await admin.read_group(self._kafka, self._consumer_group)
        self._metrics.group_members.set(len(group.members))

    async def _show(self, look: Look) -> None:
        # Read after the ends: what is stored in between makes no lag.
        await self._read_stored()
        done = await self._done(look)
        for partition, end in look.high.items():
            lag = 0 if done.get(partition, 0) >= end else end - self._stored[partition]
            labels = (partition.topic, partition.partition)
            self._metrics.group_lag_messages.labels(*labels).set(max(0, lag))
            self._look_at_transactions(partition, look.stable[partition], end)

    async def _read_stored(self) -> None:
        """Read the group's offsets, even while this replica waits for the schema.

        During an outage those that were read before are good enough; raises psycopg.Error without.
        """
        believed = self._schedule.believed
        try:
            async with self._database.connection() as connection:
                self._stored = await read_offsets(connection, self._consumer_group)
        except psycopg.Error:
            if not self._stored:
                raise
        else:
            self._open_forgotten(self._schedule.forgotten(believed, self._stored))

    async def _done(self, look: Look) -> Offsets:
        """Return the offsets below which nothing waits, and complete `_stored` to all partitions.

        Offsets at the end of a log that hold no records are never stored; only the owner knows of
        them.
        """
        if unread := look.high.keys() - self._stored.keys():
            self._stored |= await self._ends.earliest(unread)
        done = dict(self._stored)
        for owned in list(self._schedule.owned):
            self._stored[owned.partition] = done[owned.partition] = owned.stored
            if owned.oldest_waiting is None:
                reached = await self._source.reached(owned.partition) or 0
                done[owned.partition] = max(owned.stored, reached)
        return done

    def _look_at_transactions(self, partition: TopicPartition, stable: int, end: int) -> None:
        """Show what waits behind a transaction that was open at the last look already."""
        begin, looks = self._open.pop(partition, (stable, 0))
        looks = looks + 1 if begin == stable else 1
        waiting = end - stable
        if waiting > 0:
            self._open[partition] = (stable, looks)
        labels = (partition.topic, partition.partition)
        shown = waiting if waiting > 0 and looks > 1 else 0
        self._metrics.open_transaction_messages.labels(*labels).set(shown)
        if waiting > 0 and looks == _LOOKS:
            log.warning(
                "transaction_open",
                topic=partition.topic,
                partition=partition.partition,
                begins_at=stable,
                waiting=waiting,
                help=_OPEN_HELP,
            )


@asynccontextmanager
async def _patience() -> AsyncIterator[None]:
    """Leave the block when a server is away or silent: others report that."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            yield
    except (KafkaError, OSError, TimeoutError, psycopg.Error) as error:
        log.debug("group_lag_unknown", error=str(error))
