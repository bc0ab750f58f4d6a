"""The sink: stores a batch of one partition in one transaction, all of it or nothing."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
import psycopg
from psycopg.errors import InvalidParameterValue, LockNotAvailable

from consumer.dead_letters.allowance import UNBOUNDED, Allowance
from consumer.dead_letters.letter import DeadLetter
from consumer.dead_letters.rows import Place, Row, insert
from consumer.errors import CommitUnknown, Fenced
from consumer.flush.columns import Columns, Mask
from consumer.flush.flush import Flush
from consumer.flush.history import History
from consumer.flush.outcome import Outcome
from consumer.flush.registered import Registered, unregistered_letters
from consumer.metrics import Metrics
from consumer.postgres.connection import Connection
from consumer.postgres.database import Database
from consumer.postgres.days import date_of, make_days
from consumer.postgres.failures import is_conflict, is_data_error, is_missing_day
from consumer.postgres.kept_connection import KeptConnection
from consumer.postgres.offsets import end_suspended_flushes
from consumer.postgres.statements import StreamStatements, statement
from telemetry.reasons import Reason
from telemetry.streams import STREAMS, Stream
from telemetry.timestamps import DAY_US

_NAMED = 5

_Write = Callable[[Connection, Flush, Columns], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A flush whose COMMIT was not answered; `outcome` is what it stored if it was committed."""

    flush: Flush
    transaction_id: str
    outcome: Outcome


class Sink:
    """One connection that flushes one batch at a time."""

    def __init__(
        self,
        *,
        database: Database,
        metrics: Metrics,
        timeout: float,
        allowance: Allowance = UNBOUNDED,
        registered: Registered | None = None,
    ) -> None:
        """Take `registered` if only readings of registered devices are to be stored."""
        self._connection = KeptConnection(database)
        self._metrics = metrics
        self._timeout = timeout
        self._allowance = allowance
        self._registered = registered
        self._statements = {stream.name: StreamStatements(stream) for stream in STREAMS}
        self._days: dict[str, set[int]] = {stream.name: set() for stream in STREAMS}
        self._histories = {
            stream.name: History(self._statements[stream.name], metrics) for stream in STREAMS
        }
        self._unsettled: Unsettled | None = None

    async def aclose(self) -> None:
        """Close the connection; the next flush opens another."""
        await self._connection.aclose()

    async def flush(self, flush: Flush) -> Outcome:
        """Store the batch; if this raises, nothing of it is stored, or that is not known yet.

        Raises Fenced if another replica has moved the offset, and psycopg.Error, TimeoutError, or
        CommitUnknown if the same call is to be made again.
        """
        try:
            async with asyncio.timeout(self._timeout):
                connection = await self._connection.get()
                settled = await self._settle(connection, flush)
                return settled or await self._apply(connection, flush)
        except Fenced:
            raise
        except BaseException as error:
            if isinstance(error, LockNotAvailable):
                await end_suspended_flushes(connection, flush.consumer_group)
            if is_missing_day(error):
                self._days[flush.stream.name].clear()
            if not is_conflict(error):  # after a refusal too: what is prepared may be outdated
                await self.aclose()
            raise

    async def _apply(self, connection: Connection, flush: Flush) -> Outcome:
        await self._make_days(connection, flush)
        try:
            return await self._transaction(connection, flush, self._write)
        except psycopg.Error as error:
            if is_data_error(error):  # rare, so that savepoints are paid for only then
                return await self._transaction(connection, flush, self._write_or_bisect)
            raise

    async def _transaction(self, connection: Connection, flush: Flush, write: _Write) -> Outcome:
        transaction_id, outcome, done = "", None, 0.0
        try:
            async with connection.transaction():
                # 1. Advance the offset from where this replica believes it to be.
                transaction_id = await self._advance_offset(connection, flush)
                # 2. and 3. History and current state.
                written = Outcome()
                columns, unregistered = await self._of_registered(connection, flush)
                if columns is not None:
                    written = await write(connection, flush, columns)
                written.dead_letters += unregistered
                written.dead_letters += flush.decoded.dead_letters
                # 4. The dead letters, in the same transaction.
                written.cut = await self._insert_dead_letters(
                    connection, flush, written.dead_letters
                )
                outcome, done = written, time.perf_counter()
            # 5. COMMIT, on leaving the block.
            self._metrics.stage_seconds.labels("commit").inc(time.perf_counter() - done)
        except BaseException as error:
            refused = isinstance(error, psycopg.Error) and not connection.broken
            if outcome is not None and not refused:
                # Everything was done and the answer to COMMIT was lost: `_settle` asks for it.
                self._unsettled = Unsettled(flush, transaction_id, outcome)
                if isinstance(error, psycopg.Error):
                    raise CommitUnknown(transaction_id) from error
            raise
        return outcome

    async def _advance_offset(self, connection: Connection, flush: Flush) -> str:
        cursor = await connection.execute(
            statement("advance_offset"),
            {
                "consumer_group": flush.consumer_group,
                "topic": flush.stream.topic,
                "partition": flush.partition,
                "believed": flush.believed,
                "next_offset": flush.next_offset,
            },
        )
        row = await cursor.fetchone()
        if row is None:
            raise Fenced(
                topic=flush.stream.topic, partition=flush.partition, believed=flush.believed
            )
        return str(row[0])

    async def _of_registered(
        self, connection: Connection, flush: Flush
    ) -> tuple[Columns | None, list[DeadLetter]]:
        """Return the readings that are to be stored, and the dead letters of the others."""
        columns = flush.decoded.columns
        if self._registered is None or columns is None:
            return columns, []
        statements = self._statements[flush.stream.name]
        refused = await self._registered.unregistered(connection, flush.stream, statements, columns)
        if not refused.any():
            return columns, []
        unregistered = unregistered_letters(flush.stream, columns.positions[refused].tolist())
        return (None if refused.all() else columns.take(~refused)), unregistered

    async def _write(self, connection: Connection, flush: Flush, columns: Columns) -> Outcome:
        history = self._histories[flush.stream.name]
        outcome = await history.write(connection, columns, flush.copies)
        stored = columns
        if outcome.dead_letters:
            stored = columns.take(~_at(columns, outcome.dead_letters))
        if len(stored):
            await self._upsert_current_state(connection, flush.stream, stored)
        return outcome

    async def _write_or_bisect(
        self, connection: Connection, flush: Flush, columns: Columns
    ) -> Outcome:
        """Write what can be written, bisecting down to the rows that the database rejects.

        k bad rows of n take O(k log n) statements.
        """
        expected_copies = flush.copies.are_expected
        try:
            async with connection.transaction():  # a savepoint
                return await self._write(connection, flush, columns)
        except psycopg.Error as error:
            if not is_data_error(error):
                raise
            if flush.copies.are_expected and not expected_copies:
                return await self._write_or_bisect(connection, flush, columns)
            if len(columns) == 1:
                detail = f"{error.sqlstate} {error.diag.constraint_name or ''}".rstrip()
                position = int(columns.positions[0])
                rejected = DeadLetter(position, Reason.REJECTED_BY_DATABASE, detail)
                return Outcome(dead_letters=[rejected])
        outcome = Outcome()
        for half in columns.halves():
            outcome += await self._write_or_bisect(connection, flush, half)
        return outcome

    async def _upsert_current_state(
        self, connection: Connection, stream: Stream, stored: Columns
    ) -> None:
        newest = stored.newest()
        with self._metrics.timed("upsert"):
            await connection.execute(
                self._statements[stream.name].upsert_current_state,
                [stream.name, *stored.touched_hours(), *newest.parameters()],
            )

    async def _insert_dead_letters(
        self, connection: Connection, flush: Flush, dead_letters: list[DeadLetter]
    ) -> Counter[Reason]:
        if not dead_letters:
            return Counter()
        rows = [Row.of(flush.records[letter.position], letter) for letter in dead_letters]
        place = Place(flush.consumer_group, flush.stream.topic, flush.partition)
        return await insert(connection, place, rows, self._allowance)

    async def _make_days(self, connection: Connection, flush: Flush) -> None:
        """Make the days that the batch needs and that were not made ahead."""
        if flush.decoded.columns is None:
            return
        needed = set(np.unique(flush.decoded.columns.times // DAY_US).tolist())
        unseen = needed - self._days[flush.stream.name]
        if not unseen:
            return
        try:
            made = await make_days(connection, flush.stream, unseen)
        except psycopg.Error as error:
            days = ", ".join(str(date_of(day)) for day in sorted(unseen)[:_NAMED])
            error.add_note(f"making days of {flush.stream.history}, of {days}")
            raise
        if made:
            self._metrics.days_made_late.labels(flush.stream.topic).inc(made)
        self._days[flush.stream.name] |= unseen

    async def _settle(self, connection: Connection, flush: Flush) -> Outcome | None:
        """Find out what became of a COMMIT whose answer was lost.

        Returns its outcome if it was committed, None if it was not or if there is nothing to
        settle; raises CommitUnknown while the server still works on it.
        """
        unsettled = self._unsettled
        if unsettled is None or unsettled.flush is not flush:
            return None
        try:
            cursor = await connection.execute(
                statement("settle"),
                {
                    "transaction_id": unsettled.transaction_id,
                    "consumer_group": flush.consumer_group,
                    "topic": flush.stream.topic,
                    "partition": flush.partition,
                    "next_offset": flush.next_offset,
                },
            )
            status, has_moved = await cursor.fetchone() or (None, False)
        except InvalidParameterValue:  # after a crash, or in an older backup: no such id yet
            status, has_moved = None, False
        if status == "in progress":
            raise CommitUnknown(unsettled.transaction_id)
        self._unsettled = None
        return unsettled.outcome if status == "committed" and has_moved else None


def _at(columns: Columns, dead_letters: list[DeadLetter]) -> Mask:
    return np.isin(columns.positions, [letter.position for letter in dead_letters])
