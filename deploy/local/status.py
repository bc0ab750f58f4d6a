"""The status of each server of a stack."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict

from deploy.local.addresses import DATABASE, KAFKA, given, without_password
from deploy.local.ports import HOST, answers
from deploy.local.startup import kafka_process, node, postgres_process, server
from deploy.local.state import State, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.local.process import ServerProcess


@dataclass(frozen=True, kw_only=True)
class ServerStatus:
    """One row of `status`; what does not apply is empty. The address is without its password."""

    server: str
    state: str  # ours: running, not answering, stopped; another's: reachable, unreachable
    address: str = ""
    pid: str = ""
    version: str = ""
    data: str = ""
    log: str = ""

    @property
    def good(self) -> bool:
        """Return whether a client can use the server."""
        return self.state in ("running", "reachable")


def status(
    folder: Path, *, environment: Mapping[str, str] = os.environ
) -> tuple[ServerStatus, ServerStatus]:
    """Return Kafka's status and PostgreSQL's; raises StateError."""
    folder = folder.resolve()
    state = read(folder) or State()
    elsewhere = given(environment, state)
    return (
        _elsewhere("Kafka", elsewhere[KAFKA]) if KAFKA in elsewhere else _kafka(folder, state),
        _elsewhere("PostgreSQL", elsewhere[DATABASE])
        if DATABASE in elsewhere
        else _postgres(folder, state),
    )


def _kafka(folder: Path, state: State) -> ServerStatus:
    own = state.kafka
    if own is None:
        return ServerStatus(server="Kafka", state="stopped")
    process, broker = kafka_process(folder, own), node(folder, own)
    return ServerStatus(
        server="Kafka",
        state=_state(process, own.port),
        address=own.address,
        pid=str(process.pid) if process else "",
        version=own.version,
        data=_short(broker.data),
        log=_short(broker.log),
    )


def _postgres(folder: Path, state: State) -> ServerStatus:
    own = state.postgres
    if own is None:
        return ServerStatus(server="PostgreSQL", state="stopped")
    process, database = postgres_process(folder, own), server(folder, own)
    return ServerStatus(
        server="PostgreSQL",
        state=_state(process, own.port),
        address=without_password(own.address),
        pid=str(process.pid) if process else "",
        version=own.version,
        data=_short(database.data),
        log=_short(database.log),
    )


def _short(path: Path) -> str:
    """Return the path as it would be typed in the working directory."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _state(process: ServerProcess | None, port: int) -> str:
    if process is None:
        return "stopped"
    return "running" if answers(HOST, port) else "not answering"


def _elsewhere(name: str, address: str) -> ServerStatus:
    reachable = any(answers(host, port, seconds=2) for host, port in _endpoints(name, address))
    return ServerStatus(
        server=name,
        state="reachable" if reachable else "unreachable",
        address=without_password(address),
        data=f"from {KAFKA if name == 'Kafka' else DATABASE}",
    )


def _endpoints(name: str, address: str) -> list[tuple[str, int]]:
    """Return the hosts and ports of an address of either server; none if it cannot be read."""
    if name == "Kafka":
        pairs = [part.strip().rpartition(":") for part in address.split(",")]
        return [(host.strip("[]"), int(port)) for host, _, port in pairs if port.isdecimal()]
    try:
        parts = conninfo_to_dict(address)
        hosts = str(parts.get("host") or HOST).split(",")
        ports = [int(port or 5432) for port in str(parts.get("port") or "").split(",")]
        return list(zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=True))
    except (psycopg.Error, ValueError):
        return []
