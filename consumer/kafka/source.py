"""A replica's place in the group: it fetches from offsets of our own, and commits offsets.

aiokafka's own positions are not relied on: it hands out records while a rebalance is under way,
and loses what one partition had fetched when another's bytes cannot be parsed. This module keeps
the next offset of every partition that is open, hands out only what continues from there, and
seeks back to it after anything unexpected.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
)

from consumer.errors import Replaced
from consumer.kafka import aiokafka_patches
from consumer.kafka.brokers import Brokers
from consumer.kafka.client import group_member, stop
from consumer.kafka.records import Records
from consumer.kafka.room import ROOM
from consumer.kafka.stopped import Stopped
from consumer.kafka.unreadable import Unreadable
from consumer.metrics import Metrics
from consumer.settings import SourceSettings
from runtime.kafka.brokers import explained
from runtime.kafka.settings import KafkaSettings
from runtime.kafka.topics import create_topics

log = structlog.get_logger()

_COMMIT_TIMEOUT_S = 5.0
_RECOVERY_PAUSE_S = 1.0


class PartitionListener(Protocol):
    """Is told which partitions this replica owns, and reads what the source fetches of them."""

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        """Take over all partitions that this replica owns now; each is opened at its offset."""

    async def revoked(self, partitions: set[TopicPartition]) -> None:
        """Let go of partitions; nothing of them is handed out any more, and the group waits."""


class Source(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka's classes are untyped
    """A member of the consumer group, which hands out records by column."""

    def __init__(self, *, kafka: KafkaSettings, settings: SourceSettings, metrics: Metrics) -> None:
        """Build a member that has not joined yet; installs the patches of aiokafka."""
        aiokafka_patches.install()
        ROOM.limit = settings.kafka_unpacked_batch_max_bytes
        self._kafka = kafka
        self._settings = settings
        self._listener: PartitionListener | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._epoch = 0
        self._failure: Exception | None = None
        self._failed = asyncio.Event()
        self._committing = asyncio.Lock()
        self.brokers = Brokers(metrics)
        self.stopped = Stopped(metrics)
        self.has_assignment = False

    async def start(self, listener: PartitionListener) -> None:
        """Join the group, however long the broker takes to answer."""
        self._listener = listener
        await self.brokers.retrying()(self._join)

    async def _join(self) -> None:
        settings = self._settings
        created = await create_topics(
            self._kafka,
            partitions=settings.kafka_topic_partitions,
            replication_factor=settings.kafka_topic_replication_factor,
        )
        if created:
            log.info("topics_created", topics=created)
        consumer = group_member(self._kafka, settings, self)
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
        self.brokers.note_available()

    async def watch(self) -> None:
        """Wait for the error that ends the membership, and raise it; fetching is not needed."""
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
        """Return the next records of each partition that has some.

        Waits up to `timeout` seconds for a first record; a rebalance may make it wait longer.
        Raises the error that has ended the membership.
        """
        if self._failure is not None:
            raise self._failure
        epoch = self._epoch
        ROOM.keep_waiting(partitions)
        fetched: Mapping[TopicPartition, Records] = {}
        try:
            # Records by column, and not lists of aiokafka's: see `aiokafka_patches`.
            # Never cancelled: that would leave aiokafka's count of fetches wrong for good.
            fetched = await self._member.getmany(*partitions, timeout_ms=int(timeout * 1_000))
        except NoOffsetForPartitionError:
            pass  # aiokafka looked before the partition was opened at its offset
        except OffsetOutOfRangeError as error:
            self._stop_out_of_range(error)
        except RecordTooLargeError as error:
            self._stop_unreadable(Unreadable.of_wrong_length(error))
        except Unreadable as error:
            self._stop_unreadable(error)
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
            if position is not None and (taken := records.since(position)):
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

    def stop(self, partition: TopicPartition, *, stored: int, **known: int | str | None) -> None:
        """Give up on a partition that cannot be read from its next offset.

        What was handed out before is still flushed. `known` goes into the log.
        """
        self.stopped.add(partition, next_offset=stored, **known)
        self.close(partition)

    def make_room(self, partition: TopicPartition) -> None:
        """Keep no large batch unpacked of a partition that is not read for now."""
        if partition in self._positions and ROOM.has_unpacked(partition):
            self._let_go(partition)

    @property
    def unpacked_bytes(self) -> int:
        """The bytes of large batches that are unpacked and not handed out yet."""
        return ROOM.held

    def _let_go(self, partition: TopicPartition) -> None:
        """Drop what was fetched and is not handed out yet; it will be fetched again."""
        self._member.seek(partition, self._positions[partition])
        ROOM.forget(partition)

    async def reached(self, partition: TopicPartition) -> int | None:
        """Return the offset up to which the partition was read; None if it is not open.

        It passes the offsets that hold no record: control records and aborted transactions.
        """
        if partition not in self._positions:
            return None
        read: int = await self._member.position(partition)
        return max(read, self._positions.get(partition, read))

    async def bounds(
        self, partitions: Collection[TopicPartition]
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        """Return each partition's earliest offset, and the one after its last.

        Waits for as long as the broker takes to answer.
        """
        async for attempt in self.brokers.retrying():
            with attempt:
                async with explained(self._kafka):
                    earliest = await self._member.beginning_offsets(list(partitions))
                    end = await self._member.end_offsets(list(partitions))
        return earliest, end

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit the offsets to Kafka, for lag tools only; return whether it took them.

        Returns only after every earlier call, even with no offsets: a call that hangs must not
        outlive its assignment, or it would set the group's offset back under the next one.
        """
        try:
            async with asyncio.timeout(_COMMIT_TIMEOUT_S), self._committing:
                if offsets:
                    await self._member.commit(dict(offsets))  # by itself it retries for ever
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
        # Nothing is fetched until `open` says from where.
        self._member.pause(*assigned)
        self.has_assignment = True
        if self._listener is not None:
            with self._failing_loudly():
                await self._listener.assigned(assigned)

    def fenced(self) -> None:
        """End: another process has taken this static member's place. The coordinator calls it."""
        self._fail(Replaced(instance_id=self._settings.kafka_group_instance_id or ""))

    @contextmanager
    def _failing_loudly(self) -> Iterator[None]:
        """Keep an error for `watch` and `fetch` to raise: aiokafka would only log it."""
        try:
            yield
        except Exception as error:
            self._fail(error)
            raise

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._failed.set()

    @property
    def _member(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "start() comes first"  # noqa: S101
        return self._consumer

    async def _recover(self, error: Exception) -> None:
        """Read again from our own positions: aiokafka has lost what it had taken out already."""
        if self._failure is not None:
            raise self._failure from error
        log.warning("fetch_failed", error=str(error))
        self._rewind()
        await asyncio.sleep(_RECOVERY_PAUSE_S)

    def _rewind(self) -> None:
        for partition, position in self._positions.items():
            self._member.seek(partition, position)

    def _stop_out_of_range(self, error: OffsetOutOfRangeError) -> None:
        (refused,) = error.args
        self._rewind()
        for partition in refused:
            position = self._positions.get(partition)
            if position is not None:  # None: closed or revoked meanwhile
                self.stop(partition, stored=position)

    def _stop_unreadable(self, error: Unreadable) -> None:
        """Stop a partition whose next batch cannot be read, or let it be fetched once more."""
        self._rewind()
        position = self._positions.get(error.partition)
        if position is not None and self.stopped.gives_up_at(error):
            self.stop(error.partition, stored=position, reason=error.reason, batch_end=error.end)
