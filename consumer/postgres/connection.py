"""A connection to PostgreSQL, with every setting of its session pinned and every timeout set."""

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from consumer.postgres.binary import ArrayDumper
from consumer.settings import DatabaseSettings
from runtime.postgres.session import ENCODING, begin
from runtime.postgres.silence import TCP, tcp_session

Connection = AsyncConnection[TupleRow]


async def connect(settings: DatabaseSettings) -> Connection:
    """Open a connection in autocommit; raises psycopg.Error."""
    connection = await AsyncConnection.connect(
        settings.database_url.get_secret_value(),
        autocommit=True,
        connect_timeout=settings.database_connect_timeout_s,
        client_encoding=ENCODING,
        application_name="wattline-consumer",
        **TCP,
    )
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
