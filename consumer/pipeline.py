"""The loop: fetch → batch → decode → flush → commit.

One batch of a partition fills while the one before is flushed, so that Kafka, this process and
PostgreSQL work at the same time. The schedule says what comes next; the pipeline does it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Iterable

import psycopg
import structlog
from aiokafka import TopicPartition

from consumer.backoff import pause
from consumer.errors import Fenced
from consumer.flight import Flight
from consumer.flush.decoder import Decoder
from consumer.flush.flush import Flush
from consumer.flush.outcome import Outcome
from consumer.flush.sink import Sink
from consumer.kafka.source import Source
from consumer.metrics import Metrics
from consumer.offsets import Offsets
from consumer.opening import Opener
from consumer.owned import Owned
from consumer.postgres.database import REPORTED_FROM, Database
from consumer.postgres.failures import cause_of, is_conflict, is_outage
from consumer.schedule import Schedule
from consumer.settings import FlushSettings
from runtime.tasks import cancel

log = structlog.get_logger()

FETCH_TIMEOUT_S = 0.02
COMMIT_INTERVAL_S = 1.0
CONFLICT_PAUSE_S = 1.0
FORGOTTEN_HELP = "they are read again from what is stored: see docs/availability.md"
# uvloop counts whole milliseconds: a timer may be over a little before its time.
_TIMER_EARLY_S = 0.003


class Pipeline:
    """Takes records from the source, and gives each partition's batches to the sinks in order."""

    def __init__(
        self,
        *,
        source: Source,
        schedule: Schedule,
        opener: Opener,
        decoder: Decoder,
        sinks: Collection[Sink],
        database: Database,
        settings: FlushSettings,
        metrics: Metrics,
    ) -> None:
        self._source = source
        self._schedule = schedule
        self._opener = opener
        self._decoder = decoder
        self._idle = list(sinks)
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._flushes: set[asyncio.Task[None]] = set()
        self._openings: set[asyncio.Task[None]] = set()
        self._uncommitted: Offsets = {}
        self._changed = asyncio.Event()  # a batch was flushed, or partitions came or went
        self.last_sign_of_life = time.monotonic()
        metrics.buffered_bytes.set_function(lambda: schedule.held_bytes)
        metrics.assigned_partitions.set_function(lambda: len(schedule.owned))

    async def run(self) -> None:
        """Fetch and flush until cancelled; raises what a flush could not recover from."""
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._commit_regularly())
            await self._source.start(self)
            while True:
                hungry = self._schedule.hungry(
                    now=time.monotonic(), unpacked_bytes=self._source.unpacked_bytes
                )
                if not hungry:
                    self._changed.clear()
                    await self._changed.wait()
                    continue
                fetched = await self._source.fetch(hungry, timeout=FETCH_TIMEOUT_S)
                self._schedule.take(hungry, fetched, now=time.monotonic())
                self._dispatch()
                await asyncio.sleep(0)  # what was fetched already is handed out without a pause

    def _dispatch(self) -> None:
        """Give every idle sink the batch that is due and has waited longest."""
        while self._idle:
            owned = self._schedule.due(
                now=time.monotonic(), unpacked_bytes=self._source.unpacked_bytes
            )
            if owned is None:
                return
            flight = self._schedule.begin(owned)
            task = self._tasks.create_task(self._flush(owned, flight, self._idle.pop()))
            self._flushes.add(task)
            task.add_done_callback(self._end_flush)

    def _end_flush(self, task: asyncio.Task[None]) -> None:
        self._flushes.discard(task)
        self._changed.set()  # only now: `drain` must not find the last flush still under way

    async def _flush(self, owned: Owned, flight: Flight, sink: Sink) -> None:
        begun = time.monotonic()
        try:
            flush = flight.decoded = flight.decoded or await self._decoder.decode(
                flight.batch,
                owned.stream,
                partition=owned.partition.partition,
                believed=owned.stored,
                copies=owned.copies,
            )
            outcome = await self._database.patiently(
                lambda: sink.flush(flush),
                work=owned.work,
                retry=is_outage,
                on_retry=self._count_retry,
            )
            self._store(owned, flush, outcome, seconds=time.monotonic() - begun)
        except Fenced as error:
            self._lose(owned, error)
        except psycopg.Error as error:
            self._count_retry(cause_of(error))
            if is_conflict(error):
                self._postpone(owned, flight)
            elif self._schedule.owns(owned):
                self._refuse(owned, error)
        finally:
            self._idle.append(sink)
            self._schedule.end(owned)
        self._dispatch()

    def _store(self, owned: Owned, flush: Flush, outcome: Outcome, *, seconds: float) -> None:
        """Move on, now that the commit is known."""
        self._schedule.store(owned, flush.records)
        self._uncommitted[owned.partition] = flush.next_offset
        self._database.refusals.end(owned)
        self.last_sign_of_life = time.monotonic()
        self._metrics.count_flush(
            topic=owned.stream.topic,
            seconds=seconds,
            rows=len(flush.records),
            stored=outcome.stored,
            duplicates=outcome.duplicates,
            reasons=Counter(letter.reason for letter in outcome.dead_letters),
            cut=outcome.cut,
            key_mismatches=flush.decoded.key_mismatches,
        )

    def _count_retry(self, cause: str) -> None:
        self._metrics.flush_retries.labels(cause).inc()
        self.last_sign_of_life = time.monotonic()  # it waits, and is not stuck

    # A flush that did not store.

    def _postpone(self, owned: Owned, flight: Flight) -> None:
        """Try the same flush again later, and leave the sink to other partitions meanwhile."""
        seconds = pause(flight.conflicts + 1, longest=CONFLICT_PAUSE_S)
        self._schedule.postpone(owned, retry_at=time.monotonic() + seconds)
        for other in self._schedule.of_stream(owned.stream):  # none of it is read meanwhile
            self._source.make_room(other.partition)
        asyncio.get_running_loop().call_later(seconds + _TIMER_EARLY_S, self._dispatch)

    def _refuse(self, owned: Owned, error: Exception) -> None:
        """Let the partition wait alone: keep nothing of it, and read it again for the next try.

        What waits for long would take memory from what can be stored, and hold up a rebalance.
        """
        seconds = pause(owned.refusals + 1, longest=self._database.longest_pause)
        seconds = self._schedule.refuse(owned, now=time.monotonic(), pause=seconds)
        if owned.refusals < REPORTED_FROM:
            self._database.renew()
        else:
            number = owned.partition.partition
            self._database.refusals.note(owned, owned.work, error, partition=number)
        if not self._schedule.is_draining and owned.partition not in self._source.stopped:
            self._source.open(owned.partition, owned.stored)
        asyncio.get_running_loop().call_later(seconds + _TIMER_EARLY_S, self._look_again)

    def _look_again(self) -> None:
        self._dispatch()  # some of it may have been fetched meanwhile
        self._changed.set()

    def _lose(self, owned: Owned, error: Fenced) -> None:
        """Drop a partition whose offset another replica has moved; open it anew."""
        log.warning("batch_fenced", error=str(error))
        self._metrics.fenced_batches.labels(owned.stream.topic).inc()
        if self._schedule.owns(owned):
            self._open_anew([owned])

    def open_forgotten(self, partitions: Collection[Owned]) -> None:
        """Open partitions anew of which PostgreSQL has forgotten commits, as after a failover.

        Their next flush would be fenced, but without new messages there is none.
        """
        if partitions:
            log.warning("offsets_forgotten", partitions=len(partitions), help=FORGOTTEN_HELP)
            self._open_anew(partitions)

    def _open_anew(self, partitions: Collection[Owned]) -> None:
        for owned in partitions:
            self._source.close(owned.partition)
        self._disown(partitions)
        if not self._schedule.is_draining:
            self._start_opening({owned.partition for owned in partitions})

    # Partitions come and go.

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        """Take over partitions; each is read once PostgreSQL has said from which offset."""
        self._start_opening(partitions)

    async def revoked(self, partitions: set[TopicPartition]) -> None:
        """Flush what is buffered, within the time that the group allows, and let go."""
        await self.drain(self._settings.revoke_timeout_s)
        for partition in partitions:
            self._metrics.forget_partition(partition.topic, partition.partition)

    async def drain(self, seconds: float) -> None:
        """Flush what is buffered, commit its offsets and own nothing any more.

        What cannot be flushed in time is dropped from memory. It is stored nowhere yet, and the
        replica that owns the partition next reads it again.
        """
        self._schedule.is_draining = True
        try:
            async with asyncio.timeout(seconds):
                await cancel(self._openings)
                while self._flushes or not self._schedule.is_drained:
                    self._dispatch()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            left = self._schedule.held_records
            log.warning("drain_incomplete", records_to_be_read_again=left)
        finally:
            self._disown(list(self._schedule.owned))
            await asyncio.sleep(0)  # a flush that is cancelled before it begins keeps its sink
            await cancel(self._flushes)
            self._schedule.is_draining = False
            self._changed.set()
        await self._commit()
        self._uncommitted.clear()

    def _start_opening(self, partitions: set[TopicPartition]) -> None:
        if partitions:
            task = self._tasks.create_task(self._open(partitions))
            self._openings.add(task)
            task.add_done_callback(self._openings.discard)

    async def _open(self, partitions: set[TopicPartition]) -> None:
        await self._opener.open(partitions)
        self._changed.set()

    def _disown(self, partitions: Iterable[Owned]) -> None:
        for owned in partitions:
            self._schedule.disown(owned)
            self._database.refusals.forget(owned)

    # Offsets, for lag tools only.

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_INTERVAL_S)
            await self._commit()

    async def _commit(self) -> None:
        offsets, self._uncommitted = self._uncommitted, {}
        if not await self._source.commit(offsets):
            self._uncommitted = offsets | self._uncommitted
