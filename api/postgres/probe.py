"""Probes: whether PostgreSQL answers, asked on connections that no request uses."""

import asyncio

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from pydantic import SecretStr

from api.postgres.database import Connection
from api.postgres.failures import is_refusal, refused
from api.postgres.replay import Replay
from api.settings import PoolSettings
from runtime.postgres.certificate import explained, is_refused
from runtime.postgres.schema_version import OutdatedCode, require_schema
from runtime.postgres.session import ENCODING, begin
from runtime.postgres.silence import TCP, bounded

log = structlog.get_logger()

# Seconds to connect, and then to answer.
_PATIENCE_S = 2
# Reads no row; it fails if a table is missing or may not be read.
_PING = "SELECT 1 FROM meter_current_state, vehicle_current_state, meter, vehicle LIMIT 0"


class Probes:
    """One connection to the server of the writes, and one to the replica if there is one."""

    def __init__(self, settings: PoolSettings, *, replay: Replay | None = None) -> None:
        url, read_url = settings.database_url, settings.database_read_url
        # Only a replica is compared with the primary.
        self._probes = [_Probe("DATABASE_URL", url, replay if read_url else None)]
        if read_url is not None:
            self._probes.append(_Probe("DATABASE_READ_URL", read_url))

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
    """A connection to one server, opened at the first ping and again after it was lost.

    It logs when the server goes away and comes back.
    """

    def __init__(self, setting: str, url: SecretStr, replay: Replay | None = None) -> None:
        self._setting = setting
        self._url = url
        self._replay = replay
        self._connection: Connection | None = None
        self._refusal = ""
        self._is_away = False
        self.outdated: str | None = None

    async def ping(self) -> None:
        try:
            connection = await self._connected()
            with bounded(connection, _PATIENCE_S):
                await connection.execute(_PING)
                await require_schema(connection)
                if self._replay is not None:
                    await self._replay.mark(connection)
        except OutdatedCode as error:
            self.outdated = str(error)
            raise
        except psycopg.Error as error:
            await self._note(error)
            raise
        self._refusal = ""
        if self._is_away:
            self._is_away = False
            log.info("database_available", setting=self._setting)

    async def aclose(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _connected(self) -> Connection:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        connection = await AsyncConnection.connect(
            self._url.get_secret_value(),
            autocommit=True,
            row_factory=dict_row,
            application_name="wattline-api",
            connect_timeout=_PATIENCE_S,
            client_encoding=ENCODING,
            **TCP,
        )
        try:
            # The server must not wait for a lock longer than this probe waits.
            limit = f"{_PATIENCE_S}s"
            await begin(connection, seconds=_PATIENCE_S, statement_timeout=limit)
        except BaseException:  # also cancelled: nothing else would close it
            await connection.close()
            raise
        self._connection = connection
        return connection

    async def _note(self, error: psycopg.Error) -> None:
        """Log a refusal once, and once that the server is away; not with every ping."""
        sqlstate = (error.sqlstate or "") if is_refusal(error) else ""
        if sqlstate and sqlstate != self._refusal:
            refused(error)
        self._refusal = sqlstate
        if not sqlstate and not self._is_away:
            self._is_away = True
            if isinstance(error, psycopg.OperationalError) and is_refused(error):
                error = await asyncio.to_thread(explained, error, self._url.get_secret_value())
            text = " ".join(str(error).split())
            log.warning("database_unavailable", setting=self._setting, error=text)
