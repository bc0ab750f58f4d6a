"""Free TCP ports on the loopback address.

Another program may take a port between our look and the server's start: see `started_on`.
"""

import secrets
import socket
from collections.abc import Callable, Sequence
from typing import TypeVar

from deploy.local.errors import LocalStackError

Started = TypeVar("Started")

HOST = "127.0.0.1"
# Below the ports of outgoing connections (Linux: from 32768, macOS: from 49152), so that no such
# connection takes the port of a stopped server.
FIRST, LAST = 20_000, 32_000
ATTEMPTS = 200
STARTS = 3


def is_free(port: int) -> bool:
    """Return whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: connections in TIME_WAIT must not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def answers(host: str, port: int, *, seconds: float = 1.0) -> bool:
    """Return whether something accepts a connection there within `seconds`."""
    try:
        socket.create_connection((host, port), seconds).close()
    except OSError:
        return False
    return True


def free_port(*, preferred: int | None = None, taken: frozenset[int] = frozenset()) -> int:
    """Return the preferred port if it is free, else a random free one; never one of `taken`.

    Raises OSError when none is found.
    """
    if preferred is not None and preferred not in taken and is_free(preferred):
        return preferred
    for _ in range(ATTEMPTS):
        port = FIRST + secrets.randbelow(LAST - FIRST)
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port on {HOST} between {FIRST} and {LAST}")


def free_ports(count: int) -> tuple[int, ...]:
    """Return this many different free ports; raises OSError."""
    ports: tuple[int, ...] = ()
    while len(ports) < count:
        ports += (free_port(taken=frozenset(ports)),)
    return ports


def started_on(
    pick: Callable[[], Sequence[int]], start: Callable[[Sequence[int]], Started]
) -> Started:
    """Start a server on picked ports; pick others if one is taken before the server binds it.

    A `start` that raises LocalStackError must leave nothing running.
    """
    for _ in range(STARTS - 1):
        ports = pick()
        try:
            return start(ports)
        except LocalStackError:
            if all(map(is_free, ports)):
                raise
    return start(pick())
