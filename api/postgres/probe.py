"""Probes: whether PostgreSQL answers, asked on connections that no request uses."""

import asyncio

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from api.postgres.database import Connection
from api.postgres.failures import is_refusal, refused
from api.settings import PoolSettings
from runtime.postgres.schema_version import OutdatedCode, require_schema
from runtime.postgres.session import ENCODING, pinned
from runtime.postgres.silence import TCP, bounded

# Seconds to connect, and then to answer.
_PATIENCE_S = 2
# Reads no row; it fails if a table is missing or may not be read.
_PING = "SELECT 1 FROM meter_current_state, vehicle_current_state, meter, vehicle LIMIT 0"


class Probes:
    """One connection to the server of the writes, and one to the replica if there is one."""

    def __init__(self, settings: PoolSettings) -> None:
        urls = (settings.database_url, settings.database_read_url)
        self._probes = [_Probe(one.get_secret_value()) for one in urls if one is not None]

    @property
    def outdated(self) -> str | None:
        """One line if a server's schema was found to be too new for this code; else None."""
        return next((one.outdated for one in self._probes if one.outdated), None)

    async def ping(self) -> None:
        """Raise psycopg.Error unless every server answers in time."""
        found = await asyncio.gather(*(one.ping() for one in self._probes), return_exceptions=True)
        for error in found:
            if error is not None:
                raise error

    async def aclose(self) -> None:
        """Close the connections."""
        for one in self._probes:
            await one.aclose()


class _Probe:
    """A connection to one server, opened at the first ping and again after it was lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._refusal = ""
        self.outdated: str | None = None

    async def ping(self) -> None:
        try:
            connection = await self._connected()
            with bounded(connection, _PATIENCE_S):
                await connection.execute(_PING)
                await require_schema(connection)
        except OutdatedCode as error:
            self.outdated = str(error)
            raise
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
            **TCP,
        )
        try:
            with bounded(connection, _PATIENCE_S):
                # The server must not wait for a lock longer than this probe waits.
                await connection.execute(*pinned(statement_timeout=f"{_PATIENCE_S}s"))
        except BaseException:  # also cancelled: nothing else would close it
            await connection.close()
            raise
        self._connection = connection
        return connection

    def _note(self, error: psycopg.Error) -> None:
        """Log a refusal once, not with every ping."""
        sqlstate = (error.sqlstate or "") if is_refusal(error) else ""
        if sqlstate and sqlstate != self._refusal:
            refused(error)
        self._refusal = sqlstate
