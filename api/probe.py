"""Whether PostgreSQL answers, asked on connections that no request shares."""

import asyncio

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from api.database import REFUSALS, Connection, bounded, refused
from api.settings import PoolSettings
from runtime.schema_version import require_schema
from runtime.session import ENCODING, pinned

# To connect, and then to answer.
_PATIENCE_S = 2
# Costs no look at a row: that the tables are there, and ours to read.
_PING = "SELECT 1 FROM meter_current_state, vehicle_current_state, meter, vehicle LIMIT 0"


class Probes:
    """One connection to where is written, and one to where is read if that is elsewhere."""

    def __init__(self, settings: PoolSettings) -> None:
        urls = (settings.database_url, settings.database_read_url)
        self._probes = [_Probe(one.get_secret_value()) for one in urls if one is not None]

    async def ping(self) -> None:
        """Raise psycopg.Error unless PostgreSQL answers for our tables, in time."""
        found = await asyncio.gather(*(one.ping() for one in self._probes), return_exceptions=True)
        for error in found:
            if error is not None:
                raise error

    async def aclose(self) -> None:
        """Give the connections back to their servers."""
        for one in self._probes:
            await one.aclose()


class _Probe:
    """A connection to one server, made when it is first needed and again when it is lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._refusal = ""

    async def ping(self) -> None:
        try:
            connection = await self._connected()
            with bounded(connection, _PATIENCE_S):
                await connection.execute(_PING)
                await require_schema(connection)
        except psycopg.Error as error:
            self._note(error)
            raise
        self._refusal = ""

    async def aclose(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _connected(self) -> Connection:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        connection = await AsyncConnection.connect(
            self._url,
            autocommit=True,
            row_factory=dict_row,
            application_name="wattline-api",
            connect_timeout=_PATIENCE_S,
            client_encoding=ENCODING,
        )
        try:
            with bounded(connection, _PATIENCE_S):
                # The server must not wait for a lock longer than is waited for it here.
                await connection.execute(*pinned(statement_timeout=f"{_PATIENCE_S}s"))
        except BaseException:  # cancelled, too: nobody else would close it
            await connection.close()
            raise
        self._connection = connection
        return connection

    def _note(self, error: psycopg.Error) -> None:
        """Log a refusal where it is news: it is looked for once a second."""
        sqlstate = error.sqlstate or ""
        is_refusal = sqlstate[:2] in REFUSALS
        if is_refusal and sqlstate != self._refusal:
            refused(error)
        self._refusal = sqlstate if is_refusal else ""
