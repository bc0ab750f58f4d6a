"""History: rows that are new are stored, rows that are there already are compared."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

import numpy as np
from psycopg.errors import UniqueViolation

from consumer.columns import Columns, Mask
from consumer.database import Connection
from consumer.decode import DeadLetter
from consumer.errors import RowVanished
from consumer.metrics import Metrics
from consumer.statements import StreamStatements
from telemetry.reasons import Reason
from telemetry.timestamps import EPOCH, MICROSECOND


@dataclass(slots=True)
class Outcome:
    """Where the messages of a batch ended; the three counts add up to the batch."""

    stored: int = 0
    duplicates: int = 0
    dead_letters: list[DeadLetter] = field(default_factory=list)

    def __iadd__(self, other: "Outcome") -> Self:
        self.stored += other.stored
        self.duplicates += other.duplicates
        self.dead_letters += other.dead_letters
        return self


class History:
    """The history of one stream, as one connection writes it."""

    def __init__(self, statements: StreamStatements, metrics: Metrics) -> None:
        self._statements = statements
        self._metrics = metrics
        self.meets_copies = False

    async def write(self, connection: Connection, columns: Columns) -> Outcome:
        """Copy the rows; while it meets copies of what is stored, only those that cannot be one.

        What is newer than its device's current state is stored nowhere yet. The rest takes a stage.
        The first copy that it meets raises UniqueViolation: what was done is to be taken back.
        """
        if not self.meets_copies:
            try:
                return await self._copy(connection, columns)
            except UniqueViolation:
                self.meets_copies = True
                raise
        outcome, is_newer = Outcome(), await self._are_newer(connection, columns)
        try:
            if is_newer.any():
                async with connection.transaction():  # a savepoint
                    outcome += await self._copy(connection, columns.take(is_newer))
        except UniqueViolation:  # stored past the current state, by hand
            is_newer[:] = False
        rest = columns.take(~is_newer)
        staged = await self._write_through_stage(connection, rest)
        self.meets_copies = staged.stored < len(rest)
        outcome += staged
        return outcome

    async def _copy(self, connection: Connection, columns: Columns) -> Outcome:
        """Copy the first row of each device and time; raises UniqueViolation."""
        leads = columns.leads()
        is_clean = bool(leads.all())
        with self._metrics.timed("encode", clock=time.thread_time):
            data = (columns if is_clean else columns.take(leads)).copy_data()
        with self._metrics.timed("copy"):
            async with connection.cursor().copy(self._statements.copy_history) as copy:
                await copy.write(data)
        if is_clean:
            return Outcome(stored=len(columns))
        same = columns.equals_lead()
        return Outcome(
            stored=int(leads.sum()),
            duplicates=int((same & ~leads).sum()),
            dead_letters=_conflicts(columns.positions[~same].tolist()),
        )

    async def _are_newer(self, connection: Connection, columns: Columns) -> Mask:
        """Say of each row whether it is newer than the current state of its device."""
        newest = np.full(len(columns.devices), np.iinfo(np.int64).min)
        cursor = await connection.execute(
            self._statements.read_newest, {"devices": columns.devices}
        )
        async for code, recorded_at in cursor:
            newest[code] = (recorded_at - EPOCH) // MICROSECOND
        is_newer: Mask = columns.times > newest[columns.codes]
        return is_newer

    async def _write_through_stage(self, connection: Connection, columns: Columns) -> Outcome:
        """Store what is new, and compare the rest with what is stored."""
        if not len(columns):
            return Outcome()
        sql = self._statements
        await connection.execute(sql.create_stage)
        await connection.execute(sql.clear_stage)
        async with connection.cursor().copy(sql.copy_stage) as copy:
            await copy.write(columns.copy_data(with_positions=True))
        inserted = await connection.execute(sql.insert_new)
        first, last = (_datetime(int(end)) for end in (columns.times.min(), columns.times.max()))
        cursor = await connection.execute(sql.compare_staged, {"first": first, "last": last})
        duplicates, conflicts = 0, []
        async for position, same, vanished in cursor:
            if vanished:
                raise RowVanished("a row that was in the way has been removed")
            if same:
                duplicates += 1
            else:
                conflicts.append(position)
        return Outcome(inserted.rowcount, duplicates, _conflicts(conflicts))


def _conflicts(positions: list[int]) -> list[DeadLetter]:
    detail = "this device and time are stored with other values"
    return [DeadLetter(position, Reason.CONFLICTING_DUPLICATE, detail) for position in positions]


def _datetime(instant_us: int) -> datetime:
    return EPOCH + instant_us * MICROSECOND
