"""Kafka: membership of the group, fetching from positions of our own, committing offsets.

aiokafka's own positions are not relied on: it hands out records while a rebalance is under way,
and loses what one partition had fetched when another's bytes cannot be parsed. This module keeps
the next offset of every partition that is open, hands out only what continues from there, and
seeks back to it after anything unexpected.
"""

import asyncio
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import structlog
from aiokafka import (
    AIOKafkaConsumer,
    ConsumerRebalanceListener,
    TopicPartition,
    conn,
)
from aiokafka.consumer import consumer as consumers
from aiokafka.consumer import fetcher
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
)
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.legacy_records import LegacyRecordBatch, _LegacyRecordBatchPy
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from consumer.backoff import backoff
from consumer.errors import Replaced
from consumer.kafka.connection import Connection, stop
from consumer.kafka.fetched import Batches, FetchResult, PartitionRecords, Unreadable
from consumer.kafka.membership import Coordinator
from consumer.kafka.records import Records
from consumer.kafka.unpacking import DECODERS, ROOM
from consumer.metrics import Metrics
from consumer.settings import SourceSettings
from runtime.kafka.brokers import Availability, explained
from runtime.kafka.settings import KafkaSettings
from runtime.kafka.topics import create_topics
from telemetry.streams import STREAMS

log = structlog.get_logger()

# aiokafka takes none of these as an argument. Its own parsers make an object of each record, stop a
# partition for good at a header's name that is not UTF-8, and unpack whatever a batch holds; its
# connections take the process down when they break; its static members take each other's place for
# ever.
fetcher.MemoryRecords, fetcher.PartitionRecords = Batches, PartitionRecords
fetcher.FetchResult = FetchResult
conn.AIOKafkaConnection = Connection
consumers.GroupCoordinator = Coordinator
for _parser in (DefaultRecordBatch, _DefaultRecordBatchPy, LegacyRecordBatch, _LegacyRecordBatchPy):
    for _decoder in DECODERS:  # the parsers in C look them up by name too
        setattr(sys.modules[_parser.__module__], _decoder.__name__, _decoder)


def limit_unpacking(settings: SourceSettings) -> None:
    """Set how much this process unpacks of a batch, and of all large ones at a time."""
    ROOM.limit = settings.kafka_unpacked_batch_max_bytes


class PartitionListener(Protocol):
    """Whoever reads what the source fetches."""

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        """All that this replica owns from now on; each is to be opened at its offset."""

    async def revoked(self, partitions: set[TopicPartition]) -> None:
        """The group waits for this to end; nothing is handed out any more."""


STOPPED_HELP = (
    "compare with Kafka: `python -m consumer offsets show`; then stop the replicas and say where"
    " to go on: `python -m consumer offsets reset`"
)
_COMMIT_TIMEOUT_S = 5.0
_LONGEST_PAUSE_S = 3.0
_FETCH_MIN_BYTES = 1 << 14
_FETCH_MAX_WAIT_MS = 50
# Liveness is the watchdog's to judge. aiokafka would leave the group when nothing is fetched for
# this long, as happens on purpose while the database is away.
_MAX_POLL_INTERVAL_MS = 24 * 3_600 * 1_000
# A topic that was deleted and made again is looked at while its offsets still are too few: by
# default five minutes pass, in which it may grow beyond the stored ones and look as if it fitted.
_METADATA_MAX_AGE_MS = 10_000


class Source(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka's classes are untyped
    """A member of the consumer group."""

    def __init__(
        self,
        *,
        kafka: KafkaSettings,
        settings: SourceSettings,
        metrics: Metrics,
    ) -> None:
        self._kafka = kafka
        self._settings = settings
        self._metrics = metrics
        self._listener: PartitionListener | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._epoch = 0
        self._failure: Exception | None = None
        self._failed = asyncio.Event()
        self._committing = asyncio.Lock()
        self._availability = Availability()
        self._doubted: dict[TopicPartition, int] = {}
        limit_unpacking(settings)
        self.has_assignment = False
        self.stopped: set[TopicPartition] = set()

    async def start(self, listener: PartitionListener) -> None:
        """Join the group, however long the broker takes to answer."""
        self._listener = listener
        await self._retrying()(self._join)

    async def _join(self) -> None:
        settings = self._settings
        created = await create_topics(
            self._kafka,
            partitions=settings.kafka_topic_partitions,
            replication_factor=settings.kafka_topic_replication_factor,
        )
        if created:
            log.info("topics_created", topics=created)
        consumer = AIOKafkaConsumer(
            **self._kafka.aiokafka(),
            group_id=settings.consumer_group,
            group_instance_id=settings.kafka_group_instance_id,
            session_timeout_ms=settings.kafka_session_timeout_ms,
            heartbeat_interval_ms=settings.kafka_heartbeat_interval_ms,
            rebalance_timeout_ms=settings.kafka_rebalance_timeout_ms,
            max_poll_interval_ms=_MAX_POLL_INTERVAL_MS,
            metadata_max_age_ms=_METADATA_MAX_AGE_MS,
            request_timeout_ms=60_000,
            # An answer for each message, with all partitions named in each question, would cost
            # more than the flushes.
            fetch_min_bytes=_FETCH_MIN_BYTES,
            fetch_max_wait_ms=_FETCH_MAX_WAIT_MS,
            fetch_max_bytes=settings.kafka_fetch_max_bytes,
            max_partition_fetch_bytes=settings.kafka_partition_fetch_max_bytes,
            # Exactly one assignor, and not the sticky one, whose state is the class's.
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            auto_offset_reset="none",  # PostgreSQL says where to start: never a silent reset
            enable_auto_commit=False,
            isolation_level="read_committed",
        )
        consumer.subscribe([stream.topic for stream in STREAMS], listener=self)
        self._consumer = consumer  # the first assignment comes before start() returns
        try:
            async with explained(self._kafka):
                await consumer.start()
        except BaseException as error:  # a cancelled start leaves connections too
            self._consumer = None
            await stop(consumer)
            if self._failure is not None:
                raise self._failure from error
            raise
        self.note_available()

    async def watch(self) -> None:
        """Raise what ends the membership, also while nothing is fetched; else wait for ever."""
        await self._failed.wait()
        assert self._failure is not None, "it comes first"  # noqa: S101
        raise self._failure

    async def aclose(self) -> None:
        """Leave the group."""
        self._positions.clear()
        if self._consumer is not None:
            await stop(self._consumer)

    async def fetch(
        self, partitions: Collection[TopicPartition], *, timeout: float
    ) -> dict[TopicPartition, Records]:
        """Return the next records of these partitions, of which there is at least one.

        Waits up to `timeout` seconds for a first record; a rebalance may make it wait longer.
        """
        if self._failure is not None:
            raise self._failure
        epoch = self._epoch
        ROOM.keep_waiting(partitions)
        try:
            # Never cancelled: that would leave aiokafka's count of fetches wrong for good.
            fetched = await self._member.getmany(*partitions, timeout_ms=int(timeout * 1_000))
        except NoOffsetForPartitionError:
            fetched = {}  # it looked before the partition was opened at its offset
        except OffsetOutOfRangeError as error:
            self._stop_out_of_range(error)
            fetched = {}
        except RecordTooLargeError as error:
            # aiokafka says so of a length beyond what came, and brokers cut no batch in two.
            _, partition, offset, *_ = error.args
            reason = "its length is not that of what came"
            self._doubt(Unreadable(partition, offset=offset, end=None, reason=reason))
            fetched = {}
        except Unreadable as error:
            self._doubt(error)
            fetched = {}
        except KafkaError as error:
            await self._recover(error)
            return {}
        if epoch != self._epoch:
            self._rewind()
            return {}
        return dict(self._in_order(fetched))

    def _in_order(
        self, fetched: Mapping[TopicPartition, Records]
    ) -> Iterable[tuple[TopicPartition, Records]]:
        for partition, records in fetched.items():
            position = self._positions.get(partition)
            if position is None:
                continue
            if taken := records.since(position):
                self._positions[partition] = taken.offsets[-1] + 1
                yield partition, taken

    def open(self, partition: TopicPartition, offset: int) -> bool:
        """Hand out the partition's records from this offset on; False if it is not assigned."""
        try:
            self._member.seek(partition, offset)
            self._member.resume(partition)
        except IllegalStateError:
            return False
        self._positions[partition] = offset
        return True

    def close(self, partition: TopicPartition) -> None:
        """Hand out nothing more of the partition, which stays assigned."""
        if self._positions.get(partition) is not None:
            self._let_go(partition)
            self._member.pause(partition)
            del self._positions[partition]

    def make_room(self, partition: TopicPartition) -> None:
        """Keep no large batch unpacked of a partition that is not read for now."""
        if partition in self._positions and ROOM.has_unpacked(partition):
            self._let_go(partition)

    @property
    def unpacked_bytes(self) -> int:
        """What is unpacked of large batches and not handed out yet."""
        return ROOM.held

    def _let_go(self, partition: TopicPartition) -> None:
        """Drop what was fetched and is not handed out; it is fetched again."""
        self._member.seek(partition, self._positions[partition])
        ROOM.forget(partition)

    async def reached(self, partition: TopicPartition) -> int | None:
        """Return the offset that has been read up to, past what holds no records.

        Control records and aborted transactions take up offsets, and are never handed out.
        None where the partition is not open.
        """
        if partition not in self._positions:
            return None
        read: int = await self._member.position(partition)
        return max(read, self._positions.get(partition, read))

    async def bounds(
        self, partitions: Collection[TopicPartition]
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        """Return the earliest offset and the one after the last, of each partition.

        Waits for as long as the broker takes to answer.
        """
        async for attempt in self._retrying():
            with attempt:
                async with explained(self._kafka):
                    earliest = await self._member.beginning_offsets(list(partitions))
                    end = await self._member.end_offsets(list(partitions))
        return earliest, end

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Tell Kafka the offsets, for lag tools only; False if it would not take them.

        Returns only after every earlier call, also where there is nothing to tell: else one that
        hangs would outlive its assignment, and rewind the group's offset under the next.
        """
        try:
            async with asyncio.timeout(_COMMIT_TIMEOUT_S), self._committing:
                if offsets:
                    await self._member.commit(dict(offsets))  # it would retry for ever
        except (KafkaError, TimeoutError) as error:
            log.debug("offset_commit_failed", error=str(error))
            return False
        return True

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self._epoch += 1
        self.has_assignment = False
        self._positions.clear()
        self.stopped.clear()
        if self._listener is not None:
            with self._failing_loudly():
                await self._listener.revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._epoch += 1
        # Nothing is fetched before `open` has said from where.
        self._member.pause(*assigned)
        self.has_assignment = True
        if self._listener is not None:
            with self._failing_loudly():
                await self._listener.assigned(assigned)

    def fenced(self) -> None:
        """Another process has taken this static member's place; called by the coordinator."""
        self._fail(Replaced(instance_id=self._settings.kafka_group_instance_id or ""))

    @contextmanager
    def _failing_loudly(self) -> Iterator[None]:
        """Keep an error for whoever watches: aiokafka would only log it."""
        try:
            yield
        except Exception as error:
            self._fail(error)
            raise

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._failed.set()

    def note_available(self) -> None:
        if self._availability.found():
            self._metrics.kafka_available.set(1)
            log.info("kafka_available")

    def note_unavailable(self, error: BaseException) -> None:
        if self._availability.missed(error):
            self._metrics.kafka_available.set(0)
            log.warning("kafka_unavailable", error=str(error))

    @property
    def _member(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "start() comes first"  # noqa: S101
        return self._consumer

    def _retrying(self) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception_type((KafkaError, OSError)),
            wait=backoff(_LONGEST_PAUSE_S),
            before_sleep=self._note_failure,
            reraise=True,
        )

    def _note_failure(self, state: RetryCallState) -> None:
        assert state.outcome is not None  # noqa: S101  set whenever a try has failed
        error = state.outcome.exception()
        assert error is not None  # noqa: S101  likewise
        self.note_unavailable(error)

    async def _recover(self, error: Exception) -> None:
        """Read again from our own positions: what aiokafka had already taken out is lost to it."""
        if self._failure is not None:
            raise self._failure from error
        log.warning("fetch_failed", error=str(error))
        self._rewind()
        await asyncio.sleep(1)

    def _rewind(self) -> None:
        for partition, position in self._positions.items():
            self._member.seek(partition, position)

    def _stop_out_of_range(self, error: OffsetOutOfRangeError) -> None:
        (refused,) = error.args
        self._rewind()
        for partition in refused:
            position = self._positions.get(partition)
            if position is not None:  # else it was closed or revoked before the error was met
                self.stop(partition, stored=position)

    def _doubt(self, error: Unreadable) -> None:
        """Stop a partition whose next batch cannot be read: at once if its producer sent it so.

        What the network or a broker's disk may have done to it is fetched once more.
        """
        self._rewind()
        partition = error.partition
        position = self._positions.get(partition)
        if position is None:  # it was closed or revoked before the error was met
            return
        is_new = self._doubted.get(partition) != error.offset
        self._doubted[partition] = error.offset
        if is_new and not error.is_certain:
            log.warning("batch_unreadable", error=str(error))
            return
        end = {} if error.end is None else {"batch_end": error.end}
        self.stop(partition, stored=position, reason=error.reason, **end)

    def stop(self, partition: TopicPartition, *, stored: int, **known: int | str) -> None:
        """Give up on a partition that cannot be read from its next offset; never skip silently.

        What was handed out before is still flushed.
        """
        log.error(
            "partition_stopped",
            topic=partition.topic,
            partition=partition.partition,
            next_offset=stored,
            **known,
            help=STOPPED_HELP,
        )
        self._metrics.stopped_partitions.labels(partition.topic, partition.partition).set(1)
        self.stopped.add(partition)
        self.close(partition)
