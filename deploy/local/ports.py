"""Free TCP ports on the loopback address.

A server that is told its port binds it later than we have looked: see `started_on`.
"""

import secrets
import socket
from collections.abc import Callable, Sequence
from typing import TypeVar

from deploy.local.errors import LocalStackError

Started = TypeVar("Started")

HOST = "127.0.0.1"
# Below the range from which Linux (32768 up) and macOS (49152 up) take the ports of outgoing
# connections: a stopped server's port then is not lost to somebody's passing connection.
FIRST, LAST = 20_000, 32_000
ATTEMPTS = 200
STARTS = 3


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do it: connections of a former server in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def answers(host: str, port: int, *, seconds: float = 1.0) -> bool:
    """Whether something accepts a connection there within `seconds`."""
    try:
        socket.create_connection((host, port), seconds).close()
    except OSError:
        return False
    return True


def free_port(*, preferred: int | None = None, taken: frozenset[int] = frozenset()) -> int:
    """A free port: the preferred one if it can be had, else one at random, none of `taken`.

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
    """So many free ports, no two alike; raises OSError."""
    ports: tuple[int, ...] = ()
    while len(ports) < count:
        ports += (free_port(taken=frozenset(ports)),)
    return ports


def started_on(
    pick: Callable[[], Sequence[int]], start: Callable[[Sequence[int]], Started]
) -> Started:
    """Start a server on the ports that are picked; on others where one is lost before it is bound.

    Where `start` raises LocalStackError it has left nothing running.
    """
    for _ in range(STARTS - 1):
        ports = pick()
        try:
            return start(ports)
        except LocalStackError:
            if all(map(is_free, ports)):
                raise
    return start(pick())
