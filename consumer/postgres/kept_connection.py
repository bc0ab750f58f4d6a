"""A connection that is kept from one attempt to the next, until it may be out of date."""

from consumer.postgres.connection import Connection
from consumer.postgres.database import Database


class KeptConnection:
    """A connection that is kept from one attempt to the next.

    It is opened again after an outage, even one that only another connection met. It may have
    broken too, which would be taken for a new outage, or another server may be the primary by now.
    It is also opened again after `Database.renew`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._generation = 0

    async def get(self) -> Connection:
        """Return the connection, and open it if need be; raises psycopg.Error."""
        generation = self._database.generation
        if self._generation != generation:
            await self.aclose()
        if self._connection is None:
            self._connection = await self._database.open()
            self._generation = generation
        return self._connection

    async def aclose(self) -> None:
        """Close it; the next `get` opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
