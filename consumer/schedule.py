"""What to read next, and which batch to flush next. Pure: every question is asked with the time.

The pipeline asks the questions in the first half and reports what has happened in the second.
Times are in seconds, of any clock that does not go back.
"""

from collections.abc import Collection, Iterable, Mapping
from heapq import nsmallest

from aiokafka import TopicPartition

from consumer.batch import Batch, BatchPolicy
from consumer.flight import Flight
from consumer.kafka.records import Records
from consumer.offsets import Offsets
from consumer.owned import Owned
from consumer.settings import FlushSettings
from telemetry.streams import Stream


class Schedule:
    """The partitions that this replica owns, and the order in which they are read and flushed."""

    def __init__(self, settings: FlushSettings) -> None:
        self._policy = BatchPolicy.of(settings)
        self._connections = settings.flush_connections
        self._most_bytes = settings.buffer_max_bytes
        self._least_bytes = min(settings.batch_max_bytes, settings.buffer_max_bytes)
        self._owned: dict[TopicPartition, Owned] = {}
        self.held_bytes = 0
        """Bytes that wait or are being flushed, also of partitions that were lost in mid-flush."""
        self.is_draining = False
        """While true nothing is read, and every batch is due that holds a record."""

    # Questions.

    @property
    def owned(self) -> Collection[Owned]:
        return self._owned.values()

    def owns(self, owned: Owned) -> bool:
        """Return whether this is how the partition is owned now, and not at an earlier time."""
        return self._owned.get(owned.partition) is owned

    def of_stream(self, stream: Stream) -> list[Owned]:
        return [one for one in self._owned.values() if one.stream is stream]

    def hungry(self, *, now: float, unpacked_bytes: int) -> list[TopicPartition]:
        """Return the partitions to read from now; none while memory or connections are short.

        If more has been fetched than was handed out, the batches that have waited longest are
        filled first: full batches cost the least per row, and few wait half filled.
        """
        if self.is_draining or self.is_crowded(unpacked_bytes):
            return []
        contended = self.contended
        readable = [
            one
            for one in self._owned.values()
            if one.stream not in contended and _is_let_in(one, now)
        ]
        hungry = [one for one in readable if not one.batch.is_full(self._policy)]
        if len(readable) - len(hungry) >= self._connections:
            return []  # each connection that becomes free finds a full batch
        behind = [one for one in hungry if one.has_more and one.batch]
        if behind:
            first = nsmallest(self._connections, behind, key=lambda one: one.batch.opened_at)
            hungry = [one for one in hungry if one in first or not one.batch]
        return [one.partition for one in hungry]

    def due(self, *, now: float, unpacked_bytes: int) -> Owned | None:
        """Return the partition to flush next: the one that has waited longest of those due.

        Of a contended stream, one flush at a time finds out whether its tables are free.
        """
        in_haste = self.is_draining or self.is_crowded(unpacked_bytes)
        under_way = {one.stream for one in self._owned.values() if one.is_under_way}
        blocked = self.contended & under_way
        due = (
            one
            for one in self._owned.values()
            if one.stream not in blocked and self._is_due(one, now, in_haste=in_haste)
        )
        return min(due, key=lambda one: one.waiting.opened_at, default=None)

    def _is_due(self, owned: Owned, now: float, *, in_haste: bool) -> bool:
        if owned.flight is not None:
            return owned.flight.is_due(now=now)
        if now < owned.retry_at:
            return False
        if in_haste or owned.refusals:  # a few rows show whether it is still refused
            return len(owned.batch) > 0
        if owned.has_more:  # it is filled before it is flushed, however old
            return owned.batch.is_full(self._policy)
        return owned.batch.is_due(self._policy, now=now)

    @property
    def contended(self) -> set[Stream]:
        """The streams of which another session has locked a table."""
        return {one.stream for one in self._owned.values() if one.is_contended}

    def is_crowded(self, unpacked_bytes: int) -> bool:
        """Return whether memory is used up by streams that can be flushed.

        What the source has unpacked of large batches takes up memory too, but leaves room for one
        full batch.
        """
        contended = self.contended
        kept = sum(one.footprint for one in self._owned.values() if one.stream in contended)
        most = max(self._most_bytes - unpacked_bytes, self._least_bytes)
        return self.held_bytes - kept >= most

    @property
    def is_behind(self) -> bool:
        """Return whether more has been fetched than was taken up, or nothing is known yet."""
        return not self._owned or any(one.has_more for one in self._owned.values())

    @property
    def believed(self) -> dict[Owned, int]:
        """The stored offset of each partition of which no flush is under way."""
        return {one: one.stored for one in self._owned.values() if not one.is_under_way}

    def forgotten(self, believed: Mapping[Owned, int], stored: Offsets) -> list[Owned]:
        """Return the partitions of which PostgreSQL has forgotten commits.

        `stored` was read after `believed`. One that has been flushed since is left out: the fence
        judges it.
        """
        return [
            one
            for one, offset in believed.items()
            if stored.get(one.partition, -1) < offset == one.stored
            and self.owns(one)
            and not one.is_under_way
        ]

    @property
    def is_drained(self) -> bool:
        """Return whether all that is held is of partitions that PostgreSQL refuses."""
        return not any(one.footprint for one in self._owned.values() if not one.refusals)

    @property
    def held_records(self) -> int:
        return sum(
            len(one.batch) + (len(one.flight.batch) if one.flight else 0)
            for one in self._owned.values()
        )

    # What has happened.

    def own(self, owned: Owned) -> None:
        """Start with a partition of which nothing is read yet."""
        self._owned[owned.partition] = owned

    def disown(self, owned: Owned) -> None:
        """Drop a partition; if a flush of it is under way, its batch is held until `end`."""
        del self._owned[owned.partition]
        self._drop_batch(owned)
        if not owned.is_under_way:
            self._drop_flight(owned)

    def take(
        self,
        asked: Iterable[TopicPartition],
        fetched: Mapping[TopicPartition, Records],
        *,
        now: float,
    ) -> None:
        """Add what a fetch of these partitions has brought, if they are still owned."""
        for partition in asked:
            if partition in self._owned:
                self._owned[partition].has_more = False
        if self.is_draining:
            return
        for partition, records in fetched.items():
            owned = self._owned.get(partition)
            if owned is not None:
                owned.has_more = records.has_more
                owned.batch.add(records, now=now)
                self.held_bytes += records.footprint

    def begin(self, owned: Owned) -> Flight:
        """Begin the flush of a batch that is due, or its next try; return its flight."""
        if owned.flight is None:
            owned.flight, owned.batch = Flight(owned.batch), Batch()
        owned.flight.retry_at = None
        return owned.flight

    def store(self, owned: Owned, records: Records) -> None:
        """End a flight whose records are committed; others of its stream may try again at once."""
        owned.stored = records.offsets[-1] + 1
        owned.stored_up_to_ms = records.timestamps[-1]
        for other in self.of_stream(owned.stream):
            if other.is_contended and other.flight is not None:
                other.flight.forget_conflicts()
            if owned.refusals:
                other.retry_at = 0.0
        owned.refusals = 0
        self._drop_flight(owned)

    def postpone(self, owned: Owned, *, retry_at: float) -> None:
        """Keep a flight that met a conflict for another try, unless its partition is lost."""
        if owned.flight is not None and self.owns(owned):
            owned.flight.conflicts += 1
            owned.flight.retry_at = retry_at

    def refuse(self, owned: Owned, *, now: float, pause: float) -> float:
        """Drop what is held of a partition that PostgreSQL refuses: it is to be read again.

        Returns the seconds until the next try. All that are refused of a stream together try
        about as often as one would.
        """
        owned.refusals += 1
        self._drop_flight(owned)
        self._drop_batch(owned)
        refused = sum(one.refusals > 0 for one in self.of_stream(owned.stream))
        owned.retry_at = now + refused * pause
        return refused * pause

    def end(self, owned: Owned) -> None:
        """Drop a flight that is still under way at the end of its try: its partition is lost."""
        if owned.is_under_way:
            self._drop_flight(owned)

    def _drop_flight(self, owned: Owned) -> None:
        if owned.flight is not None:
            self.held_bytes -= owned.flight.batch.footprint
            owned.flight = None

    def _drop_batch(self, owned: Owned) -> None:
        self.held_bytes -= owned.batch.footprint
        owned.batch, owned.has_more = Batch(), False


def _is_let_in(owned: Owned, now: float) -> bool:
    """Return whether more may be read: of a refused partition, only what its next try needs."""
    return now >= owned.retry_at and not (owned.refusals and owned.footprint)
