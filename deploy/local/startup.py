"""Start one server of the stack unless it runs, and write each step to the state file at once."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from deploy.local.addresses import without_password
from deploy.local.errors import LocalStackError
from deploy.local.kafka import node as kafka
from deploy.local.kafka.jars import class_path
from deploy.local.kafka.node import KafkaNode
from deploy.local.ports import free_port, started_on
from deploy.local.postgres import server as postgres
from deploy.local.postgres.server import PostgresServer
from deploy.local.process import ServerProcess, find
from deploy.local.state import KafkaState, PostgresState, State, read, write

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from deploy.local.progress import Progress


def node(folder: Path, state: KafkaState) -> KafkaNode:
    """Return the stack's Kafka as its state describes it."""
    return KafkaNode(
        folder=folder / "kafka",
        log=folder / "logs" / "kafka.log",
        port=state.port,
        controller_port=state.controller_port,
    )


def server(folder: Path, state: PostgresState) -> PostgresServer:
    """Return the stack's PostgreSQL as its state describes it."""
    return PostgresServer(
        folder=folder / "postgres",
        log=folder / "logs" / "postgres.log",
        port=state.port,
        password=state.password,
    )


def kafka_process(folder: Path, state: KafkaState | None) -> ServerProcess | None:
    """Return the running Kafka, also one whose start was interrupted; None if it does not run."""
    if state is None:
        return None
    if state.process and state.process.is_alive():
        return state.process
    return find(kafka.PROGRAM, str(node(folder, state).properties))


def postgres_process(folder: Path, state: PostgresState | None) -> ServerProcess | None:
    """Return the running PostgreSQL in the same way."""
    if state is None:
        return None
    if state.process and state.process.is_alive():
        return state.process
    return find(postgres.PROGRAM, str(server(folder, state).data))


class Startup:
    """One run of `up`. Its two methods may run at the same time.

    `jvm` are options of Kafka's JVM, and `settings` are PostgreSQL's, on top of the stack's own.
    """

    def __init__(
        self,
        *,
        folder: Path,
        progress: Progress,
        jvm: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.state = read(folder) or State()
        self._folder = folder
        self._progress = progress
        self._jvm = jvm
        self._settings = settings or {}
        self._lock = threading.Lock()
        self._picked: set[int] = set()

    def kafka(self) -> str:
        """Start Kafka unless it runs; return its address."""
        began, old = time.monotonic(), self.state.kafka
        process = kafka_process(self._folder, old)
        if old and process:
            self._remember(replace(old, process=process))
            kafka.wait_ready(node(self._folder, old), process)
            self._progress.say(f"Kafka {old.version} is running at {old.address}")
            return old.address
        jars = class_path(told=self._progress.jars)

        def start(ports: Sequence[int]) -> str:
            new = KafkaState(
                address="", port=ports[0], controller_port=ports[1], version=kafka.VERSION
            )
            broker = replace(node(self._folder, new), jvm=self._jvm)
            new = replace(new, address=broker.address)
            self._remember(new)
            process = kafka.start(broker, class_path=jars)
            self._remember(replace(new, process=process))
            try:
                kafka.wait_ready(broker, process)
            except LocalStackError:
                kafka.stop(process, seconds=5)
                raise
            return new.address

        kept = (old.port, old.controller_port) if old else (None, None)
        address = started_on(self._ports("Kafka", *kept), start)
        self._progress.say(f"Kafka {kafka.VERSION} started at {address} in {_since(began)}")
        return address

    def postgres(self) -> str:
        """Start PostgreSQL unless it runs; return its address, with the password."""
        began, old = time.monotonic(), self.state.postgres
        process = postgres_process(self._folder, old)
        if old and process:
            self._remember(replace(old, process=process))
            postgres.wait_ready(server(self._folder, old), process)
            postgres.create_database(server(self._folder, old))
            where = without_password(old.address)
            self._progress.say(f"PostgreSQL {old.version} is running at {where}")
            return old.address
        version = postgres.version()
        password = old.password if old else postgres.new_password()

        def start(ports: Sequence[int]) -> str:
            new = PostgresState(address="", port=ports[0], password=password, version=version)
            database = replace(server(self._folder, new), settings=self._settings)
            new = replace(new, address=database.url)
            self._remember(new)
            process = postgres.start(database)
            self._remember(replace(new, process=process))
            try:
                postgres.wait_ready(database, process)
                postgres.create_database(database)
            except LocalStackError:
                postgres.stop(process, seconds=5)
                raise
            return new.address

        address = started_on(self._ports("PostgreSQL", old.port if old else None), start)
        where = without_password(address)
        self._progress.say(f"PostgreSQL {version} started at {where} in {_since(began)}")
        return address

    def _remember(self, changed: KafkaState | PostgresState) -> None:
        with self._lock:
            if isinstance(changed, KafkaState):
                self.state = replace(self.state, kafka=changed)
            else:
                self.state = replace(self.state, postgres=changed)
            write(self._folder, self.state)

    def _ports(self, name: str, *kept: int | None) -> Callable[[], list[int]]:
        """Return a function that picks the ports that a server had before, as far as they are free.

        Others are picked at random. No port is picked twice, even if the server could not bind it.
        """
        wanted = list(kept)

        def pick() -> list[int]:
            picked = []
            with self._lock:
                for before in wanted:
                    port = free_port(preferred=before, taken=frozenset(self._picked))
                    self._picked.add(port)
                    picked.append(port)
            for before, port in zip(wanted, picked, strict=True):
                if before not in (None, port):
                    self._progress.say(f"{name}: port {before} is taken, using {port}")
            wanted[:] = picked
            return picked

        return pick


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"
