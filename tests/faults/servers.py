"""Servers of the bench's own, which it stops, kills, suspends and fills."""

import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from deploy.local.kafka import node as kafka
from deploy.local.kafka.node import KafkaNode
from deploy.local.ports import free_ports, started_on
from deploy.local.postgres import server as postgres
from deploy.local.postgres.server import PostgresServer, new_password
from deploy.local.postgres.unprivileged import remove_data
from deploy.local.process import ServerProcess
from tests import brief_jvm
from tests.databases import hash_once
from tests.faults.proxy import Proxy

Server = TypeVar("Server")

SECONDS_TO_END = 30.0


@dataclass
class Postgres:
    """A PostgreSQL server, and a proxy in front of it."""

    server: PostgresServer
    proxy: Proxy
    process: ServerProcess | None = None

    def start(self) -> None:
        self.process = postgres.start(self.server)
        postgres.wait_ready(self.server, self.process)

    def end(self, number: signal.Signals) -> None:
        """End the server by a signal: SIGINT is a fast stop, SIGQUIT an immediate one."""
        assert self.process is not None
        self.process.send(number)
        assert self.process.wait(SECONDS_TO_END)

    def url(self, database: str, *, port: int | None = None) -> str:
        return replace(self.server, port=port or self.server.port).url.rsplit("/", 1)[0] + (
            f"/{database}"
        )


@dataclass
class Broker:
    """One Kafka node."""

    node: KafkaNode
    process: ServerProcess | None = None

    def start(self, *, brokers: int = 1) -> None:
        self.process = kafka.start(self.node)
        kafka.wait_ready(self.node, self.process, brokers=brokers)

    def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send(number)
        assert self.process.wait(SECONDS_TO_END)

    def suspend(self, seconds: float) -> None:
        assert self.process is not None
        self.process.send(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send(signal.SIGCONT)


@dataclass
class Kafka:
    """One broker, and a proxy that its second listener advertises; or a cluster without one."""

    brokers: list[Broker]
    proxy: Proxy | None = None
    bootstrap: str = field(init=False)

    def __post_init__(self) -> None:
        self.bootstrap = ",".join(broker.node.address for broker in self.brokers)

    @property
    def only(self) -> Broker:
        [broker] = self.brokers
        return broker


class Servers:
    """Starts what a scenario asks for, once, and ends it all on leaving."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cleanup = ExitStack()
        self._postgres: Postgres | None = None
        self._kafka: Kafka | None = None
        self._cluster: Kafka | None = None

    def __enter__(self) -> "Servers":
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def postgres(self) -> Postgres:
        if self._postgres is None:
            folder = self._folder / "postgres"
            self._postgres = started_on(
                lambda: free_ports(1), lambda ports: self._entered(_postgres(folder, *ports))
            )
        return self._postgres

    @property
    def kafka(self) -> Kafka:
        """A single broker."""
        if self._kafka is None:
            folder = self._folder / "kafka"
            self._kafka = started_on(
                lambda: free_ports(3), lambda ports: self._entered(_single(folder, *ports))
            )
        return self._kafka

    def start_both(self) -> None:
        """Start PostgreSQL and the single broker side by side."""
        with ThreadPoolExecutor() as both:
            broker = both.submit(lambda: self.kafka)
            database = both.submit(lambda: self.postgres)
        broker.result()
        database.result()

    @property
    def cluster(self) -> Kafka:
        """Three brokers: replication factor 3, two of which must have what is acknowledged."""
        if self._cluster is None:
            folder = self._folder / "cluster"
            self._cluster = started_on(
                lambda: free_ports(6), lambda ports: self._entered(_cluster(folder, ports))
            )
        return self._cluster

    def _entered(self, server: AbstractContextManager[Server]) -> Server:
        return self._cleanup.enter_context(server)


@contextmanager
def _postgres(folder: Path, port: int) -> Iterator[Postgres]:
    server = PostgresServer(
        folder=folder,
        log=folder / "postgres.log",
        port=port,
        password=new_password(),
        # Readers and the onlooker of the bench come on top of what is exhausted on purpose.
        settings={"shared_buffers": "128MB", "max_wal_size": "1GB"},
    )
    with Proxy("127.0.0.1", server.port) as proxy:
        proxy.open()
        one = Postgres(server, proxy)
        try:
            one.start()
            hash_once(one.url("postgres"))
            yield one
        finally:
            if one.process is not None:
                postgres.stop(one.process)
            remove_data(folder)


@contextmanager
def _single(folder: Path, plain: int, proxied: int, controller: int) -> Iterator[Kafka]:
    with Proxy("127.0.0.1", proxied) as proxy:
        proxy.open()
        broker = Broker(
            KafkaNode(
                folder=folder,
                log=folder / "kafka.log",
                port=plain,
                controller_port=controller,
                settings=_listeners(plain, proxied, controller, advertised=proxy.port),
                jvm=brief_jvm.options(),
            )
        )
        try:
            broker.start()
            yield Kafka([broker], proxy)
        finally:
            if broker.process is not None:
                broker.end(signal.SIGKILL)


def _listeners(plain: int, proxied: int, controller: int, *, advertised: int) -> dict[str, str]:
    """Return the settings of a second listener, whose clients are sent to the proxy."""
    host = "127.0.0.1"
    return {
        "listeners": f"PLAINTEXT://{host}:{plain},PROXIED://{host}:{proxied},"
        f"CONTROLLER://{host}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{host}:{plain},PROXIED://{host}:{advertised}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,"
        "CONTROLLER:PLAINTEXT",
    }


@contextmanager
def _cluster(folder: Path, ports: Sequence[int]) -> Iterator[Kafka]:
    voters = {1: ports[0], 2: ports[1], 3: ports[2]}
    first = KafkaNode(
        folder=folder / "1",
        log=folder / "1.log",
        port=ports[3],
        controller_port=voters[1],
        voters=voters,
        jvm=brief_jvm.options(),
    )
    others = [
        replace(
            first,
            node_id=number,
            folder=folder / str(number),
            log=folder / f"{number}.log",
            port=ports[2 + number],
            controller_port=voters[number],
        )
        for number in (2, 3)
    ]
    brokers = [Broker(node) for node in (first, *others)]
    try:
        for broker in brokers:
            broker.process = kafka.start(broker.node)
        for broker in brokers:
            assert broker.process is not None
            kafka.wait_ready(broker.node, broker.process, brokers=3)
        yield Kafka(brokers)
    finally:
        for broker in brokers:
            if broker.process is not None:
                broker.process.send(signal.SIGKILL)
