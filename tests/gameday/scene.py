"""What is broken and looked at: servers, two replicas, an API, a flow of readings, Prometheus."""

import itertools
import os
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from deploy.replica import Replica, ReplicaError
from tests.faults.servers import Servers
from tests.faults.world import Flow, World
from tests.gameday.prometheus import Prometheus, prometheus

REPLICAS = 2
# No chaos: what is late would make days late, and that alert lasts for a day.
FLOW = Flow(devices=200, rate=500, chaos=0.0)
# Nobody knows the key: the API is only looked at.
_KEY_DIGEST = sha256(secrets.token_bytes()).hexdigest()
# Events of a log that tell an operator nothing.
_DULL = frozenset({"http_listening", "rollups", "history_partitions_maintained", "topics_created"})


class Scene:
    """A world, with what an operator sees of it. `factor`: how much faster the alerts' times pass.

    Raises NoPrometheus on entering.
    """

    def __init__(self, servers: Servers, *, folder: Path, seed: int, factor: int) -> None:
        self.world = World(servers, folder=folder, seed=seed, flow=FLOW, offsets_tell=False)
        self._factor = factor
        self._named: dict[Replica, str] = {}
        self._read: dict[Replica, int] = {}
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        with (
            ExitStack() as started
        ):  # so that nothing is left running if a later one does not start
            self.prometheus: Prometheus = started.enter_context(
                prometheus(self.world.folder / "prometheus", factor=self._factor)
            )
            started.enter_context(self.world)
            self.replicas = [self.start_replica(through_proxy=n > 0) for n in range(REPLICAS)]
            started.callback(self._end_api)
            self.api: Replica = self.start_api()
            for replica in self.replicas:
                replica.wait_for("partitions_opened")
            self.world.begin_flow()
            self.world.progress.wait_for_more(500)
            self._write_environment()
            self._cleanup = started.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def _end_api(self) -> None:
        for process, name in self._named.items():
            if name.startswith("api") and process.process.poll() is None:
                process.kill()

    # What a breakage starts and ends.

    def start_replica(self, *, through_proxy: bool = False) -> Replica:
        """Start a replica, and have it scraped; one may reach PostgreSQL through the proxy."""
        postgres = self.world.servers.postgres
        url = postgres.url(self.world.database, port=postgres.proxy.port)
        settings = {"DATABASE_URL": url} if through_proxy else {}
        replica = self.world.start_replica(trap=None, under=(), **settings)
        self._take_in(replica, f"consumer {next(self._numbers)}")
        return replica

    def start_api(self) -> Replica:
        """Start an API, and have it scraped."""
        assert self.world.kafka is not None
        number = next(self._numbers)
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": self.world.kafka.bootstrap,
            "DATABASE_URL": self.world.database_url,
            "API_KEYS": _KEY_DIGEST,
            "METRICS_PORT": "0",
        }
        api = Replica(
            environment,
            log_file=self.world.folder / f"api-{number}.log",
            command=("-m", "api", "run"),
        )
        self._take_in(api, f"api {number}")
        return api

    def forget(self, replica: Replica) -> None:
        """Scrape it no more: what took its place is scraped."""
        del self._named[replica]
        self._scrape()

    def _take_in(self, replica: Replica, name: str) -> None:
        self._named[replica], self._read[replica] = name, 0
        self._scrape()

    def _scrape(self) -> None:
        targets: dict[str, list[str]] = {"consumer": [], "api": []}
        for replica, name in self._named.items():
            job = name.partition(" ")[0]
            event = "metrics_listening" if job == "api" else "http_listening"
            targets[job].append(f"127.0.0.1:{replica.wait_for(event)['port']}")
        self.prometheus.scrape(targets)

    # What an operator sees.

    @property
    def addresses(self) -> Mapping[str, str]:
        """The settings that commands need."""
        assert self.world.kafka is not None
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.world.kafka.bootstrap,
            "DATABASE_URL": self.world.database_url,
            "CONSUMER_GROUP": self.world.group,
        }

    @property
    def environment_file(self) -> Path:
        """A file to be sourced by a shell, before the commands of the runbook."""
        return self.world.folder / "environment"

    def _write_environment(self) -> None:
        """The password is of a server that lives as long as the day; still nobody else reads it."""
        file = os.open(self.environment_file, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(file, "w") as text:
            text.writelines(f"export {name}='{value}'\n" for name, value in self.addresses.items())

    def readiness(self) -> dict[str, str]:
        """Return what /health/ready of each process says, by its name."""
        return {name: _ready(replica) for replica, name in self._named.items()}

    def news(self) -> list[str]:
        """Return the log lines of all processes since the last call, without the dull ones."""
        said: list[str] = []
        for replica, name in self._named.items():
            lines = replica.log()
            new = lines[self._read[replica] :]
            said += [f"{name}: {_told(line)}" for line in new if line["event"] not in _DULL]
            self._read[replica] = len(lines)
        return said


def _ready(replica: Replica) -> str:
    try:
        status, text = replica.get("/health/ready")
    except (OSError, ReplicaError):
        return "silent"
    return "ready" if status == 200 else f"not ready: {text}"


def _told(line: Mapping[str, Any]) -> str:
    fields = {k: v for k, v in line.items() if k not in {"event", "timestamp", "level", "logger"}}
    return " ".join([str(line["event"]), *(f"{name}={value}" for name, value in fields.items())])
