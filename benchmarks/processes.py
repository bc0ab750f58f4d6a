"""The CPU that the servers take, if they run on this machine.

A server is found as the process that listens at its address. PostgreSQL is the postmaster, its
children, and those that have ended: when it reaps one, the kernel adds what that one took to the
postmaster's own account (see proc(5), cutime).
"""

from dataclasses import dataclass
from typing import Self

import psutil
from psycopg.conninfo import conninfo_to_dict

from deploy.local.kafka.node import PROGRAM as BROKER
from deploy.local.postgres.server import PROGRAM as POSTMASTER
from deploy.local.stack import Addresses

_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class ServerCpu:
    """CPU seconds since the servers were started; None of one that is not on this machine."""

    postgres: float | None
    broker: float | None

    def since(self, before: Self) -> "ServerCpu":
        """Return the seconds that were taken in between."""
        return ServerCpu(
            _difference(self.postgres, before.postgres), _difference(self.broker, before.broker)
        )


@dataclass(frozen=True, slots=True)
class ServerProcesses:
    """The postmaster and the broker, as far as they are found here."""

    postmaster: psutil.Process | None
    broker: psutil.Process | None

    @classmethod
    def at(cls, addresses: Addresses) -> Self:
        """Find them; of several hosts in an address none is looked for."""
        database = conninfo_to_dict(addresses.database_url)
        host, _, port = addresses.kafka_bootstrap_servers.rpartition(":")
        return cls(
            postmaster=_listener(
                POSTMASTER, str(database.get("host")), str(database.get("port", 5432))
            ),
            broker=_listener(BROKER, host, port),
        )

    def missing(self) -> list[str]:
        """Return the names of those that were not found."""
        found = {"PostgreSQL": self.postmaster, "the broker": self.broker}
        return [name for name, process in found.items() if process is None]

    def cpu(self) -> ServerCpu:
        """Return what they have taken so far; raises psutil.Error if one has ended."""
        return ServerCpu(
            postgres=None if self.postmaster is None else _of_family(self.postmaster),
            broker=None if self.broker is None else cpu_seconds(self.broker),
        )


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU seconds of a process, user and system, all its threads, no children."""
    return sum(process.cpu_times()[:2])


def _of_family(parent: psutil.Process) -> float:
    """Return the CPU seconds of a process and of all its children, the ended ones included.

    A child that is reaped between two looks would be counted twice, or not at all: what is read
    counts only if nothing was reaped meanwhile.
    """
    while True:
        before = parent.cpu_times()
        children = parent.children()
        try:
            living = sum(map(cpu_seconds, children))
        except psutil.NoSuchProcess:
            continue
        if parent.children() == children and parent.cpu_times()[2:4] == before[2:4]:
            return sum(before[:4]) + living


def _listener(program: str, host: str, port: str) -> psutil.Process | None:
    """Return the process of this program that listens there, None if none is seen."""
    if host not in _THIS_MACHINE:
        return None
    for place in psutil.net_connections("tcp"):
        # Of a listener the address is a host and a port.
        if place.status == psutil.CONN_LISTEN and place.pid and place.laddr[1:2] == (int(port),):
            process = psutil.Process(place.pid)
            if process.name() == program:
                return process
    return None


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
