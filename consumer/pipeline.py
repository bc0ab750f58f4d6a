"""The loop: fetch → batch → decode → flush → commit.

One batch of a partition fills while the one before is flushed, so that Kafka, this process and
PostgreSQL work at the same time. Under backlog as many are filled at a time as there are
connections, each to the full, and as many wait.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Iterable
from heapq import nsmallest

import psycopg
import structlog
from aiokafka import TopicPartition

from consumer.age import Age
from consumer.backoff import pause
from consumer.batch import Batch, BatchPolicy
from consumer.errors import Fenced
from consumer.flush.decode import Decoded, decode_batch
from consumer.flush.history import Outcome
from consumer.flush.sink import Flush, Sink
from consumer.kafka.records import Records
from consumer.kafka.source import Source
from consumer.metrics import Metrics
from consumer.offsets import Offsets
from consumer.owned import Owned
from consumer.postgres.database import TOLD_FROM, Database
from consumer.postgres.failures import cause_of, is_conflict, is_outage
from consumer.postgres.offsets import claim_offsets, end_suspended_flushes, read_offsets, read_times
from consumer.postgres.refusals import OFFSETS
from consumer.settings import FlushSettings
from runtime.tasks import cancel
from telemetry.decode import TimeLimits
from telemetry.streams import BY_TOPIC, Stream

log = structlog.get_logger()

FETCH_TIMEOUT_S = 0.02
COMMIT_INTERVAL_S = 1.0
CONFLICT_PAUSE_S = 1.0
SECOND_LOOK_S = 1.0


class Pipeline:
    """Takes records from the source and hands each partition's batches, in order, to the sinks."""

    def __init__(
        self,
        *,
        source: Source,
        sinks: Collection[Sink],
        database: Database,
        settings: FlushSettings,
        consumer_group: str,
        retention_days: int,
        strips_schema_prefix: bool,
        metrics: Metrics,
    ) -> None:
        self._source = source
        self._idle = list(sinks)
        self._database = database
        self._settings = settings
        self._policy = BatchPolicy.of(settings)
        self._consumer_group = consumer_group
        self._retention_days = retention_days
        self._strips_schema_prefix = strips_schema_prefix
        self._metrics = metrics
        self._owned: dict[TopicPartition, Owned] = {}
        self._flushes: set[asyncio.Task[None]] = set()
        self._openings: set[asyncio.Task[None]] = set()
        self._uncommitted: Offsets = {}
        self._buffered = 0
        self._draining = False
        self._changed = asyncio.Event()  # a batch was flushed, or partitions came or went
        self.last_sign_of_life = time.monotonic()

    async def run(self) -> None:
        """Fetch and flush until cancelled; raises what a flush could not recover from."""
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._commit_regularly())
            await self._source.start(self)
            while True:
                hungry = self._hungry()
                if not hungry:
                    self._changed.clear()
                    await self._changed.wait()
                    continue
                asked = [owned.partition for owned in hungry]
                fetched = await self._source.fetch(asked, timeout=FETCH_TIMEOUT_S)
                for owned in hungry:
                    owned.has_more = False
                for partition, records in fetched.items():
                    self._take(partition, records)
                self._dispatch()
                await asyncio.sleep(0)  # what was fetched already is handed out without a pause

    def _hungry(self) -> list[Owned]:
        """Return the partitions to read from now; none while memory or time is short.

        Where more has been fetched than was handed out, the batch that waits longest is filled
        first: full batches cost the least per row, and little waits half filled beside them.
        """
        if self._draining or self._is_crowded:
            return []
        contended, now = self._contended, time.monotonic()
        readable = [
            owned
            for owned in self._owned.values()
            if owned.stream not in contended and owned.is_let_in(now)
        ]
        hungry = [owned for owned in readable if not owned.batch.is_full(self._policy)]
        connections = self._settings.flush_connections
        if len(readable) - len(hungry) >= connections:
            return []  # enough is ready for whichever connection is free next
        behind = [owned for owned in hungry if owned.has_more and owned.batch]
        first = nsmallest(connections, behind, key=lambda owned: owned.batch.opened_at)
        return [owned for owned in hungry if not behind or owned in first or not owned.batch]

    def _take(self, partition: TopicPartition, records: Records) -> None:
        owned = self._owned.get(partition)
        if owned is None or self._draining:
            return
        owned.has_more = records.has_more
        owned.batch.add(records, now=time.monotonic())
        self._buffer(records.footprint)

    def _dispatch(self) -> None:
        """Give every idle sink the batch that is due and has waited longest."""
        while self._idle:
            now, in_haste = time.monotonic(), self._draining or self._is_crowded
            blocked = {stream for stream in self._contended if self._is_tried(stream)}
            due = [
                owned
                for owned in self._owned.values()
                if owned.stream not in blocked and self._is_due(owned, now, in_haste=in_haste)
            ]
            if not due:
                return
            owned = min(due, key=lambda owned: owned.waiting_since)
            if owned.flushing is None:
                owned.flushing, owned.batch = owned.batch, Batch()
            owned.in_flight = True
            task = self._tasks.create_task(self._flush(owned, owned.flushing, self._idle.pop()))
            self._flushes.add(task)
            task.add_done_callback(self._end_flush)

    def _end_flush(self, task: asyncio.Task[None]) -> None:
        self._flushes.discard(task)
        self._changed.set()  # only now: whoever waits for the last flush must not still see it

    def _is_due(self, owned: Owned, now: float, *, in_haste: bool) -> bool:
        if owned.in_flight or now < owned.retry_at:
            return False
        if owned.flushing is not None:
            return True
        if in_haste or owned.refusals:  # a few rows show whether it is still refused
            return len(owned.batch) > 0
        if owned.has_more:  # it is filled before it is flushed, however old
            return owned.batch.is_full(self._policy)
        return owned.batch.is_due(self._policy, now=now)

    @property
    def _contended(self) -> set[Stream]:
        """The streams whose tables another session keeps from us."""
        return {owned.stream for owned in self._owned.values() if owned.conflicts}

    def _is_tried(self, stream: Stream) -> bool:
        """Say whether a flush finds out just now if a contended stream's tables are free again."""
        return any(owned.in_flight for owned in self._owned.values() if owned.stream is stream)

    async def _flush(self, owned: Owned, batch: Batch, sink: Sink) -> None:
        begun = time.monotonic()
        try:
            flush = owned.decoded = owned.decoded or await self._decode(owned, batch)
            outcome = await self._database.patiently(
                lambda: sink.flush(flush),
                work=owned.work,
                retry=is_outage,
                on_retry=self._count_retry,
            )
            self._record(owned, flush, outcome, seconds=time.monotonic() - begun)
            self._forget(owned)
        except Fenced as error:
            self._forget(owned)
            self._lose(owned, error)
        except psycopg.Error as error:
            if is_conflict(error):
                self._postpone(owned, error)
            else:
                self._refuse(owned, error)
        finally:
            owned.in_flight = False
            self._idle.append(sink)
            if self._owned.get(owned.partition) is not owned:
                self._forget(owned)
        self._dispatch()

    def _forget(self, owned: Owned) -> None:
        if owned.flushing is not None:
            self._buffer(-owned.flushing.footprint)
        owned.flushing = owned.decoded = None

    def _postpone(self, owned: Owned, error: Exception) -> None:
        """Try the same flush again later, and leave the sink to other partitions meanwhile."""
        self._count_retry(cause_of(error))
        owned.conflicts += 1
        seconds = pause(owned.conflicts, longest=CONFLICT_PAUSE_S)
        owned.retry_at = time.monotonic() + seconds
        for other in self._owned.values():
            if other.stream is owned.stream:  # none of it is read meanwhile
                self._source.make_room(other.partition)
        asyncio.get_running_loop().call_later(seconds, self._dispatch)

    def _refuse(self, owned: Owned, error: Exception) -> None:
        """Let the partition wait alone: keep nothing of it, and read it again for the next try.

        What waits for long would else take up the memory of those that can be stored, and hold
        up a rebalance.
        """
        self._count_retry(cause_of(error))
        if self._owned.get(owned.partition) is not owned:
            return
        owned.conflicts = 0
        owned.refusals += 1
        if owned.refusals < TOLD_FROM:
            self._database.renew()
        else:
            number = owned.partition.partition
            self._database.refusals.note(owned, owned.work, error, partition=number)
        self._give_back(owned)
        refused = [
            one for one in self._owned.values() if one.stream is owned.stream and one.refusals
        ]
        # All that are refused together try about as often as one would.
        seconds = len(refused) * pause(owned.refusals, longest=self._database.longest_pause)
        owned.retry_at = time.monotonic() + seconds
        asyncio.get_running_loop().call_later(seconds, self._look_again)

    def _look_again(self) -> None:
        self._dispatch()  # some of it may have been fetched meanwhile
        self._changed.set()

    def _give_back(self, owned: Owned) -> None:
        self._forget(owned)
        self._buffer(-owned.batch.footprint)
        owned.batch, owned.has_more = Batch(), False
        if not self._draining and owned.partition not in self._source.stopped:
            self._source.open(owned.partition, owned.stored)

    async def _decode(self, owned: Owned, batch: Batch) -> Flush:
        limits = TimeLimits.at(time.time_ns() // 1_000, retention_days=self._retention_days)
        decoded = Decoded()
        steps = decode_batch(
            batch.records,
            owned.stream,
            limits,
            decoded,
            strips_schema_prefix=self._strips_schema_prefix,
        )
        is_done = False
        while not is_done:
            with self._metrics.timed("decode", clock=time.thread_time):
                is_done = bool(next(steps, True))
            await asyncio.sleep(0)  # let the loop send what another flush has ready
        return Flush(
            consumer_group=self._consumer_group,
            stream=owned.stream,
            partition=owned.partition.partition,
            believed=owned.stored,
            next_offset=batch.next_offset,
            records=batch.records,
            decoded=decoded,
            copies=owned.copies,
        )

    def _record(self, owned: Owned, flush: Flush, outcome: Outcome, *, seconds: float) -> None:
        """Move on, now that the commit is known."""
        owned.stored = flush.next_offset
        owned.stored_up_to_ms = flush.records.timestamps[-1]
        self._uncommitted[owned.partition] = flush.next_offset
        for other in self._owned.values():
            # Whatever was in the way is gone.
            if other.stream is owned.stream and (other.conflicts or owned.refusals):
                other.conflicts, other.retry_at = 0, 0.0
        owned.refusals = 0
        self._database.refusals.end(owned)
        self.last_sign_of_life = time.monotonic()
        topic = owned.stream.topic
        self._metrics.flush_seconds.labels(topic).observe(seconds)
        self._metrics.key_mismatches.labels(topic).inc(flush.decoded.key_mismatches)
        self._metrics.count_flush(
            topic=topic,
            rows=len(flush.records),
            stored=outcome.stored,
            duplicates=outcome.duplicates,
            reasons=Counter(letter.reason for letter in outcome.dead_letters),
            cut=outcome.cut,
        )

    def _count_retry(self, cause: str) -> None:
        self._metrics.flush_retries.labels(cause).inc()
        self.last_sign_of_life = time.monotonic()  # it waits, and is not stuck

    # Partitions come and go.

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        """Take over partitions; they are read once PostgreSQL has said from where."""
        self._start_opening(partitions)

    async def revoked(self, partitions: set[TopicPartition]) -> None:
        """Flush what is buffered, within the time that the group allows, and let go."""
        await self.drain(self._settings.revoke_timeout_s)
        for partition in partitions:
            self._metrics.forget_partition(partition.topic, partition.partition)

    async def drain(self, seconds: float) -> None:
        """Flush what is buffered, commit its offsets and own nothing any more.

        What cannot be flushed in time is dropped from memory: it is stored nowhere yet, and
        whoever owns the partition next reads it again.
        """
        self._draining = True
        try:
            async with asyncio.timeout(seconds):
                await cancel(self._openings)
                while self._flushes or any(
                    owned.footprint for owned in self._owned.values() if not owned.refusals
                ):
                    self._dispatch()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            left = sum(len(o.batch) + len(o.flushing or ()) for o in self._owned.values())
            log.warning("drain_incomplete", records_to_be_read_again=left)
        finally:
            self._disown(list(self._owned.values()))
            await cancel(self._flushes)
            self._draining = False
            self._changed.set()
        await self._commit()
        self._uncommitted.clear()

    def _start_opening(self, partitions: Iterable[TopicPartition]) -> None:
        task = self._tasks.create_task(self._open(set(partitions)))
        self._openings.add(task)
        task.add_done_callback(self._openings.discard)

    async def _open(self, partitions: set[TopicPartition]) -> None:
        """Start reading each partition at its stored offset, or at its earliest record."""
        if not partitions:
            return
        earliest, end = await self._source.bounds(partitions)

        async def stored_offsets() -> tuple[Offsets, dict[TopicPartition, float]]:
            async with self._database.connection() as connection:
                # A former owner may hang in the middle of a flush.
                await end_suspended_flushes(connection, self._consumer_group)
                await claim_offsets(connection, self._consumer_group, earliest)
                times = await read_times(connection, self._consumer_group)
                return await read_offsets(connection, self._consumer_group), times

        offsets, times = await self._database.patiently(stored_offsets, work=OFFSETS)
        # A former owner may have stored what came since Kafka was asked, and a broker that was
        # away may not know of it yet: what seems to lie beyond the end is looked at again.
        if any(offsets[partition] > end[partition] for partition in partitions):
            await asyncio.sleep(SECOND_LOOK_S)
            _, end = await self._source.bounds(partitions)
        for partition in partitions:
            offset, first, last = offsets[partition], earliest[partition], end[partition]
            if not first <= offset <= last:
                self._source.stop(partition, stored=offset, earliest=first, end=last)
            elif self._source.open(partition, offset):
                stream = BY_TOPIC[partition.topic]
                age = Age(stored_at=times[partition])
                self._owned[partition] = Owned(partition, stream, offset, age)
        self._metrics.assigned_partitions.set(len(self._owned))
        log.info("partitions_opened", partitions=len(partitions))
        self._changed.set()

    def _lose(self, owned: Owned, error: Fenced) -> None:
        """Another replica has moved the offset: drop what is here of the partition, look again."""
        log.warning("batch_fenced", error=str(error))
        self._metrics.fenced_batches.labels(owned.stream.topic).inc()
        if owned.partition in self._owned:
            self._source.close(owned.partition)
            self._disown([owned])
            if not self._draining:
                self._start_opening([owned.partition])

    def _disown(self, partitions: Iterable[Owned]) -> None:
        for owned in partitions:
            del self._owned[owned.partition]
            self._database.refusals.forget(owned)
            self._buffer(-owned.batch.footprint)
            if not owned.in_flight:  # else the flush lets go of it at its end
                self._forget(owned)
        self._metrics.assigned_partitions.set(len(self._owned))

    # Offsets, for lag tools only.

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_INTERVAL_S)
            await self._commit()

    async def _commit(self) -> None:
        offsets, self._uncommitted = self._uncommitted, {}
        if not await self._source.commit(offsets):
            self._uncommitted = offsets | self._uncommitted

    @property
    def is_behind(self) -> bool:
        """Say whether more has been fetched than could be taken up yet, or nothing is known yet."""
        return not self._owned or any(owned.has_more for owned in self._owned.values())

    # Memory.

    @property
    def owned(self) -> Collection[Owned]:
        return self._owned.values()

    @property
    def _is_crowded(self) -> bool:
        """Say whether the memory is used up, by streams that can be flushed.

        What is unpacked of large batches is part of it, but leaves room for one full batch.
        """
        contended, settings = self._contended, self._settings
        kept = sum(one.footprint for one in self._owned.values() if one.stream in contended)
        least = min(settings.batch_max_bytes, settings.buffer_max_bytes)
        most = max(settings.buffer_max_bytes - self._source.unpacked_bytes, least)
        return self._buffered - kept >= most

    def _buffer(self, change: int) -> None:
        self._buffered += change
        self._metrics.buffered_bytes.set(self._buffered)
