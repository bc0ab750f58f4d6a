"""The bytes that were fetched of a partition → records by column, a hand-out at a time.

aiokafka makes a ConsumerRecord of each record, which costs more than all that is done with it.
Here the records come in columns, some hundreds at a time, and `getmany` returns one Records for
each partition. Which batches count (one of an aborted transaction does not) is still decided by
aiokafka.

A broker takes any bytes as a header's name. aiokafka takes UTF-8 only, and could never read past
another name in its partition. Here the rest of the fetch, from that name's batch on, is read by
aiokafka's slower parser, in Python, which is made to take any bytes. Other fetches cost nothing
more: the parser in C reads them.

A batch that cannot be read, or that unpacks to more than the limit, raises Unreadable, after the
records in front of it have been handed out.
"""

from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher

from consumer.kafka.batches import HANDED_OUT_BYTES, Batches, Run
from consumer.kafka.records import Records
from consumer.kafka.room import ROOM, NoRoom
from consumer.kafka.unreadable import Unreadable


class FetchResult(fetcher.FetchResult):  # type: ignore[misc]  # aiokafka's classes are untyped
    """What was fetched of a partition and is not handed out yet."""

    _partition_records: Any  # aiokafka's own

    def getall(self, _max_records: None = None) -> Records:
        """Return the next records; raises Unreadable.

        There are none if the partition is to be read from elsewhere by now, or while its next batch
        waits for room.
        """
        taken = Records()
        if not self.has_more() or not self.check_assignment(self._topic_partition):
            return taken
        if self._partition_records.waits and not ROOM.is_worth_a_try(self._topic_partition):
            return taken
        try:
            for records in self._partition_records:
                taken.extend(records)
                if taken.footprint >= HANDED_OUT_BYTES:
                    self._update_position()
                    taken.has_more = self._partition_records.has_more
                    return taken
        except NoRoom:
            taken.has_more = True
        except Unreadable:
            if not taken:
                raise
            taken.has_more = True  # the next call meets it again
        self._update_position()
        if not taken.has_more:
            self._partition_records = None
        return taken

    def check_assignment(self, tp: TopicPartition) -> bool:
        records = self._partition_records
        if super().check_assignment(tp):
            return True
        records.drop()
        return False

    def __del__(self) -> None:
        if self._partition_records is not None:
            self._partition_records.drop()


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka's are untyped
    """The records in the bytes that were fetched of a partition, a run at a time.

    A header's name that is not UTF-8 holds its odd bytes as surrogates (PEP 383), so that
    `name.encode(errors="surrogateescape")` gives back what was sent. `waits`: the next batch has
    found no room.
    """

    next_fetch_offset: int
    waits = False
    _is_amid_a_batch = False
    _records: Batches
    _records_iterator: Any  # aiokafka's own, both
    _tp: TopicPartition

    def __next__(self) -> Records:
        ROOM.reader, self.waits = self._tp, False
        try:
            records: Records = next(self._records_iterator)
        except (StopIteration, MemoryError):
            self.drop()
            raise
        except UnicodeDecodeError:
            self._read_again(is_lenient=True)
            return next(self)
        except NoRoom:
            self.waits = True
            self._read_again()
            raise
        except Exception as error:
            # Any error here is about these bytes: the parsers do nothing but read them.
            end, reason = self._records.end, " ".join(str(error).split()) or repr(error)
            self._read_again()
            offset = self.next_fetch_offset
            # Its frames would hold what was unpacked, for as long as the error is kept.
            error.__traceback__ = None
            raise Unreadable(self._tp, offset=offset, end=end, reason=reason) from error
        return records

    def drop(self) -> None:
        """Let go of the unpacked batch: it is in a reference cycle, and would stay for long."""
        self._records_iterator = None

    def _read_again(self, *, is_lenient: bool = False) -> None:
        """Begin once more with the batch that was not read to its end."""
        is_lenient = is_lenient or self._records.is_lenient
        self._records = self._records.again(self.next_fetch_offset, is_lenient=is_lenient)
        self._records_iterator = self._unpack_records()

    def _consumer_record(self, _partition: TopicPartition, run: Run) -> Records:
        self._is_amid_a_batch = run.is_full
        return run.records.since(self.next_fetch_offset)

    @property
    def has_more(self) -> bool:
        """Return whether more may come; False is certain."""
        return self._is_amid_a_batch or bool(self._records.has_next())
