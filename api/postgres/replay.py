"""How far a replica has replayed what the primary has committed: the time that its answers are of.

Once a second the primary is asked for its time, and after that for the end of its log. Each time a
connection to the replica is lent, that is asked how far it has come. If it has replayed that end,
it has all that could be seen at that time, also if nothing has been committed since. If not, it has
all up to the last commit that it has replayed, by that commit's own time. Both hold whatever the
network does, and need no privilege. If the primary is away, the time stands still.
"""

from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import tuple_row

_MARK = """
SELECT statement_timestamp(),
       CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn()::text END
"""
# The statements of `api/queries/sql/` find the time in the session. It never goes back. A standby
# that has replayed nothing since its start has what its last checkpoint had.
_LOOK = """
SELECT as_of, set_config('wattline.as_of', CASE WHEN is_standby THEN as_of::text ELSE '' END, false)
FROM (
    SELECT is_standby, CASE WHEN is_standby THEN coalesce(
        greatest(
            CASE WHEN pg_last_wal_replay_lsn() >= %(end)s::pg_lsn THEN %(at)s::timestamptz END,
            pg_last_xact_replay_timestamp(),
            nullif(current_setting('wattline.as_of', true), '')::timestamptz
        ),
        (SELECT checkpoint_time FROM pg_control_checkpoint())
    ) ELSE statement_timestamp() END AS as_of
    FROM pg_is_in_recovery() AS is_standby
) AS look
"""

Connection = AsyncConnection[Any]


class Replay:
    """Compares a replica with the primary."""

    def __init__(self) -> None:
        self._at: datetime | None = None
        self._end: str | None = None

    async def mark(self, primary: Connection) -> None:
        """Note the end of the primary's log; raises psycopg.Error."""
        async with primary.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(_MARK)
            at, end = await cursor.fetchone() or (None, None)
        if end is not None:
            self._at, self._end = at, end

    async def look(self, replica: Connection) -> datetime:
        """Return the time of which the answers on this connection are at the earliest.

        A server that is no standby answers as of now. It sets the session's `wattline.as_of` to
        that time, or leaves it empty for now. Raises psycopg.Error.
        """
        async with replica.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(_LOOK, {"at": self._at, "end": self._end})
            as_of, _ = await cursor.fetchone() or (None, None)
        assert isinstance(as_of, datetime)  # noqa: S101  the statement returns one
        return as_of
