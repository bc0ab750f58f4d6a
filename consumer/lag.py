"""How far behind each partition is, and the watchdog that ends a process that is stuck.

Asks Kafka through a client of its own, so that a consumer that has stopped fetching without a
word, as aiokafka's issues 727, 880 and 1037 report, is still seen.
"""

import asyncio
import time

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from consumer.database import Database
from consumer.errors import Stuck
from consumer.metrics import Metrics
from consumer.pipeline import Owned, Pipeline
from consumer.settings import WatchdogSettings
from consumer.source import Source
from telemetry.settings import KafkaSettings

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
        self._well_at = time.monotonic()

    async def aclose(self) -> None:
        """Close the client that asks for the offsets."""
        probe, self._probe = self._probe, None
        if probe is not None:
            await probe.stop()

    async def run(self) -> None:
        """Measure for ever; raises Stuck."""
        while True:
            await asyncio.sleep(self._settings.lag_interval_s)
            owned = list(self._pipeline.owned)
            try:
                async with asyncio.timeout(_PROBE_TIMEOUT_S):
                    ends = await self._ends([one.partition for one in owned])
            except (KafkaError, OSError, TimeoutError) as error:
                self._source.note_unavailable(error)
                self._well_at = time.monotonic()
                await self.aclose()
                continue
            self._source.note_available()
            # Those that were revoked meanwhile are another replica's to show.
            still = [one for one in owned if one in self._pipeline.owned]
            behind = [one for one in still if await self._show(one, ends[one.partition])]
            self._watch(behind=bool(behind))

    async def _ends(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self._probe is None:
            self._probe = AIOKafkaConsumer(
                **self._kafka.aiokafka(), isolation_level="read_committed"
            )
            await self._probe.start()
        if not partitions:
            await self._probe.topics()  # a question that only a broker can answer
            return {}
        ends: dict[TopicPartition, int] = await self._probe.end_offsets(partitions)
        return ends

    async def _show(self, owned: Owned, end: int) -> int:
        """Set the partition's gauges and return how many messages it is behind."""
        oldest = owned.oldest_waiting
        lag = max(0, end - owned.stored)
        if oldest is None and (await self._source.reached(owned.partition) or 0) >= end:
            lag = 0  # what is left holds no records
        since_ms = owned.stored_up_to_ms if oldest is None else oldest.timestamp_ms or 0
        seconds = max(0.0, time.time() - since_ms / 1_000) if lag else 0.0
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
