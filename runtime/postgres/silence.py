"""Silent peers: how a connection to PostgreSQL ends when the other side no longer answers.

A network that is cut tells neither end. Two guards, for every service:

1. TCP notices within about 20 s that the other machine is gone (`TCP`, and `tcp_session` for the
   server's end).
2. TCP does not notice a process that hangs, or a proxy that goes on acknowledging. `bounded` breaks
   such a connection when the time of its work is up.
"""

import asyncio
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from psycopg import AsyncConnection

_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3}
_USER_TIMEOUT_MS = 20_000
# After the loop was busy for long, answers may have come that it has not read yet.
_MOMENT_S = 0.1

TCP: Mapping[str, Any] = _KEEPALIVES | {"tcp_user_timeout": _USER_TIMEOUT_MS}
"""Parameters of libpq, with which this end notices a peer that is gone; see tcp(7)."""


def tcp_session() -> dict[str, str]:
    """Return the settings of a session with which the server notices a peer that is gone."""
    keepalives = {f"tcp_{name}": str(value) for name, value in _KEEPALIVES.items()}
    return {"tcp_user_timeout": f"{_USER_TIMEOUT_MS}ms"} | keepalives


@contextmanager
def bounded(connection: AsyncConnection[Any], seconds: float) -> Iterator[None]:
    """Break the connection when the time is up; the block then raises psycopg.OperationalError.

    Cancelling the task takes far longer: psycopg asks the silent server to cancel its statement,
    waits for that, and then waits for the statement to end.
    """
    loop = asyncio.get_running_loop()

    def wait_a_moment() -> None:
        timers.append(loop.call_later(_MOMENT_S, _break, connection))

    timers = [loop.call_later(seconds, wait_a_moment)]
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def _break(connection: AsyncConnection[Any]) -> None:
    if not connection.closed:
        with socket.socket(fileno=os.dup(connection.fileno())) as end, suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
