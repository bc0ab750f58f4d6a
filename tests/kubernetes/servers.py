"""A real Kafka and a real PostgreSQL, which listen for pods too."""

import contextlib
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from deploy.local.kafka import node as kafka
from deploy.local.kafka.node import KafkaNode
from deploy.local.ports import HOST
from deploy.local.postgres import server as postgres
from deploy.local.postgres.logins import urls_of
from deploy.local.postgres.server import PostgresServer, new_password
from deploy.local.postgres.unprivileged import remove_data
from tests.kubernetes.network import SERVERS, SUBNET

# Nobody else is in this network, so the ports may be the usual ones.
_KAFKA, _CONTROLLER, _LOOPBACK, _POSTGRES = 9092, 9093, 19092, 5432


@dataclass(frozen=True)
class Servers:
    """Where the servers are: for us, and for pods."""

    bootstrap: str
    database_url: str
    logins: Mapping[str, str]
    """PostgreSQL's address for each of Wattline's roles, as pods reach it."""

    @property
    def bootstrap_of_pods(self) -> str:
        return f"{SERVERS}:{_KAFKA}"


@contextlib.contextmanager
def running(folder: Path, *, logs: Path) -> Iterator[Servers]:
    """Run both; raises LocalStackError."""
    with (
        _kafka(folder / "kafka", logs / "kafka.log") as bootstrap,
        _postgres(folder / "postgres", logs / "postgres.log") as server,
    ):
        logins = urls_of(server.password, port=server.port)
        for_pods = {role: url.replace(HOST, SERVERS) for role, url in logins.items()}
        yield Servers(bootstrap, server.url, for_pods)


@contextlib.contextmanager
def _kafka(folder: Path, log: Path) -> Iterator[str]:
    ours, pods = f"127.0.0.1:{_LOOPBACK}", f"{SERVERS}:{_KAFKA}"
    settings = {
        "listeners": f"PLAINTEXT://{ours},PODS://{pods},CONTROLLER://127.0.0.1:{_CONTROLLER}",
        "advertised.listeners": f"PLAINTEXT://{ours},PODS://{pods}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PODS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        # As in production: a rebalance waits for members that are on their way.
        "group.initial.rebalance.delay.ms": "3000",
    }
    node = KafkaNode(
        folder=folder, log=log, port=_LOOPBACK, controller_port=_CONTROLLER, settings=settings
    )
    process = kafka.start(node)
    try:
        kafka.wait_ready(node, process)
        yield ours
    finally:
        kafka.stop(process)


@contextlib.contextmanager
def _postgres(folder: Path, log: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(
        folder=folder,
        log=log,
        port=_POSTGRES,
        password=new_password(),
        settings={"listen_addresses": f"127.0.0.1,{SERVERS}", "shared_buffers": "128MB"},
    )
    process = postgres.start(server)
    try:
        postgres.wait_ready(server, process)
        postgres.create_database(server)
        with (server.data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {SUBNET} scram-sha-256\n")
        with psycopg.connect(server.url, autocommit=True) as session:
            session.execute("SELECT pg_reload_conf()")
        yield server
    finally:
        process.send(signal.SIGCONT)
        postgres.stop(process)
        remove_data(folder)
