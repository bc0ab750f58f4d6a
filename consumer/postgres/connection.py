"""A connection to PostgreSQL, with every setting of its session pinned and every timeout set."""

import asyncio

import numpy as np
from psycopg import AsyncConnection, OperationalError
from psycopg.rows import TupleRow

from consumer.postgres.binary import ArrayDumper
from consumer.settings import DatabaseSettings
from runtime.postgres.certificate import explained, is_refused
from runtime.postgres.session import ENCODING, begin
from runtime.postgres.silence import TCP, tcp_session

Connection = AsyncConnection[TupleRow]


async def connect(settings: DatabaseSettings) -> Connection:
    """Open a connection in autocommit; raises psycopg.Error."""
    url = settings.database_url.get_secret_value()
    try:
        connection = await AsyncConnection.connect(
            url,
            autocommit=True,
            connect_timeout=settings.database_connect_timeout_s,
            client_encoding=ENCODING,
            application_name="wattline-consumer",
            **TCP,
        )
    except OperationalError as error:
        if not is_refused(error):
            raise
        raise await asyncio.to_thread(explained, error, url) from error
    connection.adapters.register_dumper(np.ndarray, ArrayDumper)
    session = {
        "statement_timeout": f"{settings.database_statement_timeout_s}s",
        "lock_timeout": f"{settings.database_lock_timeout_s}s",
        # A session of ours idles in a transaction only if its process is suspended, and its locks
        # keep others waiting meanwhile.
        "idle_in_transaction_session_timeout": f"{settings.database_lock_timeout_s}s",
        **tcp_session(),
    }
    try:
        await begin(connection, seconds=settings.database_connect_timeout_s, **session)
    except BaseException:  # a cancelled one would stay open too
        await connection.close()
        raise
    return connection
