"""How far behind each partition is, and the watchdog that ends a process that is stuck.

Asks Kafka through a client of its own, so that a consumer that has stopped fetching without a
word, as aiokafka's issues 727, 880 and 1037 report, is still seen.
"""

import asyncio
import time
from collections.abc import Collection

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from consumer.errors import Stuck
from consumer.kafka.connection import stop
from consumer.kafka.source import Source
from consumer.kafka.stopped import STOPPED_HELP
from consumer.metrics import Metrics
from consumer.owned import Owned
from consumer.pipeline import Pipeline
from consumer.postgres.database import Database
from consumer.settings import WatchdogSettings
from runtime.kafka.brokers import explained
from runtime.kafka.settings import KafkaSettings
from telemetry.streams import BY_TOPIC

log = structlog.get_logger()

_PROBE_TIMEOUT_S = 10.0


class LagMonitor:
    """Measures the lag once an interval, and raises Stuck when nothing moves for too long."""

    def __init__(
        self,
        *,
        kafka: KafkaSettings,
        source: Source,
        pipeline: Pipeline,
        database: Database,
        settings: WatchdogSettings,
        metrics: Metrics,
    ) -> None:
        self._kafka = kafka
        self._source = source
        self._pipeline = pipeline
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._probe: AIOKafkaConsumer | None = None
        self._missing: set[str] = set()
        self._well_at = time.monotonic()

    async def aclose(self) -> None:
        """Close the client that asks for the offsets."""
        probe, self._probe = self._probe, None
        if probe is not None:
            await stop(probe)

    async def run(self) -> None:
        """Measure for ever; raises Stuck."""
        while True:
            await asyncio.sleep(self._settings.lag_interval_s)
            owned = list(self._pipeline.owned)
            begun = time.time()
            try:
                async with explained(self._kafka), asyncio.timeout(_PROBE_TIMEOUT_S):
                    ends = await self._ends([one.partition for one in owned])
                    await self._look_for_topics(owned)
            except (KafkaError, OSError, TimeoutError) as error:
                self._source.brokers.note_unavailable(error)
                self._well_at = time.monotonic()
                await self.aclose()
                continue
            self._source.brokers.note_available()
            # Those that were revoked meanwhile are another replica's to show.
            still = [one for one in owned if one in self._pipeline.owned]
            behind = [one for one in still if await self._show(one, ends[one.partition], begun)]
            # Nothing will move those that have been stopped, and it has been said.
            self._watch(behind=any(one.partition not in self._source.stopped for one in behind))

    async def _ends(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self._probe is None:
            self._probe = AIOKafkaConsumer(
                **self._kafka.aiokafka(), isolation_level="read_committed"
            )
            await self._probe.start()
        if not partitions:
            return {}
        ends: dict[TopicPartition, int] = await self._probe.end_offsets(partitions)
        return ends

    async def _look_for_topics(self, owned: Collection[Owned]) -> None:
        """Say once that a topic is gone: the group shares what is left without a word."""
        assert self._probe is not None  # noqa: S101  the ends have been asked for
        unseen = BY_TOPIC.keys() - {one.partition.topic for one in owned}
        missing = unseen - await self._probe.topics() if unseen else set()
        if not self._source.has_assignment:
            return  # they may be about to be made
        for topic in sorted(missing - self._missing):
            log.error("topic_missing", topic=topic, help=STOPPED_HELP)
        self._missing = missing

    async def _show(self, owned: Owned, end: int, asked_at: float) -> int:
        """Set the partition's gauges and return how many messages it is behind.

        `end` was true when Kafka was asked or after, which is in seconds since 1970.
        """
        reached = await self._source.reached(owned.partition) or 0
        oldest = owned.oldest_waiting
        # What holds no records is never stored, and does not wait.
        done = owned.stored if oldest else max(owned.stored, reached)
        lag = 0 if done >= end else end - owned.stored
        owned.age.look(done=done, end=end, at=asked_at)
        # What is not read yet came after what was stored last.
        came_ms = owned.stored_up_to_ms if oldest is None else oldest.timestamp_ms
        seconds = owned.age.seconds(came_ms, now=time.time()) if lag else 0.0
        labels = (owned.partition.topic, owned.partition.partition)
        self._metrics.lag_messages.labels(*labels).set(lag)
        self._metrics.lag_seconds.labels(*labels).set(seconds)
        return lag

    def _watch(self, *, behind: bool) -> None:
        """Raise Stuck where Kafka and PostgreSQL answer, there is work, and none is done."""
        now = time.monotonic()
        idle = self._source.has_assignment and not behind
        if idle or not self._database.is_available:
            self._well_at = now
        silent_for = now - max(self._well_at, self._pipeline.last_sign_of_life)
        if silent_for > self._settings.watchdog_timeout_s:
            raise Stuck(seconds=round(silent_for))
