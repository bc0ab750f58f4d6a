"""How much waits in all partitions of the topics, whoever owns them.

A member of the group that is not ours takes its share of the partitions and may read nothing; what
comes behind an open transaction is not handed out to anybody. Of neither does a replica's own lag
tell, nor whether it is ready. So every replica looks at the end of every log, the high watermark,
and at the offset that the group has stored of it.
"""

import asyncio

import psycopg
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from consumer.kafka import admin
from consumer.kafka.connection import stop
from consumer.kafka.source import Source
from consumer.metrics import Metrics
from consumer.offsets import Offsets
from consumer.pipeline import Pipeline
from consumer.postgres.database import Database
from consumer.postgres.offsets import read_offsets
from consumer.settings import WatchdogSettings
from runtime.kafka.settings import KafkaSettings
from telemetry.streams import BY_TOPIC

log = structlog.get_logger()

_PATIENCE_S = 20.0
# So many looks apart are two questions about topics and members, which take a client of their own;
# and so many in a row is a transaction open before the log says so: a minute.
_LOOKS = 12
_OPEN_HELP = "a producer's: see docs/runbook.md, A transaction stays open"


class GroupLag:
    """Looks once an interval, and says nothing of whether the servers are there: others do."""

    def __init__(
        self,
        *,
        kafka: KafkaSettings,
        consumer_group: str,
        source: Source,
        pipeline: Pipeline,
        database: Database,
        settings: WatchdogSettings,
        metrics: Metrics,
    ) -> None:
        self._kafka = kafka
        self._consumer_group = consumer_group
        self._source = source
        self._pipeline = pipeline
        self._database = database
        self._interval = settings.lag_interval_s
        self._metrics = metrics
        self._clients: dict[str, AIOKafkaConsumer] = {}
        self._partitions: list[TopicPartition] = []
        self._stored: Offsets = {}
        # By partition: where its open transaction begins, and in how many looks in a row it has.
        self._open: dict[TopicPartition, tuple[int, int]] = {}

    async def aclose(self) -> None:
        """Close the clients that ask."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await stop(client)

    async def run(self) -> None:
        """Look for ever."""
        looks = 0
        while True:
            await asyncio.sleep(self._interval)
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    if looks % _LOOKS == 0 or not self._partitions:
                        await self._look_at_the_group()
                    await self._look()
                looks += 1
            except (KafkaError, OSError, TimeoutError, psycopg.Error) as error:
                log.debug("group_lag_unknown", error=str(error))
                self._partitions = []  # a topic may have gone
                await self.aclose()

    async def _look_at_the_group(self) -> None:
        self._partitions = await admin.list_partitions(self._kafka, list(BY_TOPIC))
        for topic in BY_TOPIC:
            count = sum(one.topic == topic for one in self._partitions)
            self._metrics.topic_partitions.labels(topic).set(count)
        group = await admin.read_group(self._kafka, self._consumer_group)
        self._metrics.group_members.set(len(group.members))

    async def _look(self) -> None:
        # In this order: what comes in between is not taken for an open transaction, nor for lag.
        ends = await (await self._client("read_uncommitted")).end_offsets(self._partitions)
        stable = await (await self._client("read_committed")).end_offsets(self._partitions)
        if self._database.is_available:
            async with self._database.connection() as connection:
                self._stored = await read_offsets(connection, self._consumer_group)
        done = await self._done()
        for partition, end in ends.items():
            lag = 0 if done.get(partition, 0) >= end else end - self._stored[partition]
            labels = (partition.topic, partition.partition)
            self._metrics.group_lag_messages.labels(*labels).set(max(0, lag))
            self._look_at_transactions(partition, stable[partition], end)

    async def _done(self) -> Offsets:
        """Return up to where nothing waits, and know the stored offsets of all partitions.

        What holds no records at the end of a log is never stored; only the owner knows of it.
        """
        if unread := [one for one in self._partitions if one not in self._stored]:
            client = await self._client("read_committed")
            self._stored |= await client.beginning_offsets(unread)
        done = dict(self._stored)
        for owned in list(self._pipeline.owned):
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

    async def _client(self, isolation_level: str) -> AIOKafkaConsumer:
        if isolation_level not in self._clients:
            client = AIOKafkaConsumer(**self._kafka.aiokafka(), isolation_level=isolation_level)
            self._clients[isolation_level] = client
            await client.start()
        return self._clients[isolation_level]
