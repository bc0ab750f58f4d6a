"""History: new rows are stored, and rows that are stored already are compared."""

import time
from contextlib import suppress

import numpy as np
from psycopg.errors import UniqueViolation

from consumer.dead_letters.letter import DeadLetter
from consumer.flush.columns import Columns, Mask
from consumer.flush.copies import Copies
from consumer.flush.outcome import Outcome
from consumer.metrics import Metrics
from consumer.postgres.connection import Connection
from consumer.postgres.statements import StreamStatements
from telemetry.reasons import Reason
from telemetry.timestamps import as_datetime

ATTEMPTS = 3


class History:
    """The history of one stream, as one connection writes it."""

    def __init__(self, statements: StreamStatements, metrics: Metrics) -> None:
        self._statements = statements
        self._metrics = metrics

    async def write(self, connection: Connection, columns: Columns, copies: Copies) -> Outcome:
        """Copy the rows that are not stored yet, and compare the others.

        Stored rows are looked for only while copies are expected. The first copy that is not
        expected raises UniqueViolation: the caller rolls back and makes the same call again.
        """
        if not copies.are_expected:
            try:
                return await self._copy(connection, columns)
            except UniqueViolation:
                copies.note(met=True)
                raise
        # What is newer than the current state of its device cannot be stored yet.
        suspected = ~await self._are_newer(connection, columns)
        for _ in range(ATTEMPTS - 1):
            with suppress(UniqueViolation):
                return await self._compare(connection, columns, suspected, copies)
            # A row was stored by hand, beside current state, or by another replica just now.
            suspected = np.ones(len(columns), np.bool_)
        return await self._compare(connection, columns, suspected, copies)

    async def _compare(
        self, connection: Connection, columns: Columns, suspected: Mask, copies: Copies
    ) -> Outcome:
        """Copy all rows but those suspected ones that are stored, and compare these."""
        is_stored, is_same = await self._find_stored(connection, columns, suspected)
        outcome = Outcome(
            duplicates=int(is_same.sum()),
            dead_letters=_conflicts(columns.positions[is_stored & ~is_same].tolist()),
        )
        if not is_stored.all():
            async with connection.transaction():  # a savepoint
                outcome += await self._copy(connection, columns.take(~is_stored))
        copies.note(met=bool(is_stored.any()))
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
        """Return for each row whether it is newer than the current state of its device."""
        newest = np.full(len(columns.devices), np.iinfo(np.int64).min)
        cursor = await connection.execute(
            self._statements.read_newest, {"devices": columns.devices}
        )
        for code, instant in await cursor.fetchall():
            newest[code] = instant
        is_newer: Mask = columns.times > newest[columns.codes]
        return is_newer

    async def _find_stored(
        self, connection: Connection, columns: Columns, suspected: Mask
    ) -> tuple[Mask, Mask]:
        """Return for each row whether it is stored, and whether with the same measures."""
        is_stored, is_same = np.zeros((2, len(columns)), np.bool_)
        rows = np.flatnonzero(suspected)
        if not len(rows):
            return is_stored, is_same
        asked = columns.take(rows)
        bounds = as_datetime(int(asked.times.min())), as_datetime(int(asked.times.max()))
        with self._metrics.timed("copy"):
            cursor = await connection.execute(
                self._statements.find_stored, [*asked.parameters(), *bounds]
            )
            for place, same in await cursor.fetchall():
                is_stored[rows[place]], is_same[rows[place]] = True, same
        return is_stored, is_same


def _conflicts(positions: list[int]) -> list[DeadLetter]:
    detail = "this device and time are stored with other values"
    return [DeadLetter(position, Reason.CONFLICTING_DUPLICATE, detail) for position in positions]
