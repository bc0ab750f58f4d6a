"""What is attacked: an API and a replica of a tree, on a Kafka and a PostgreSQL of their own.

with Site(servers, fleet, folder=…) as site:
    site.note(ask(site.port, …))             what came back is counted
    site.expect(…, "what went wrong")        faults are kept
"""

import hashlib
import json
import secrets
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import psycopg

from benchmarks.backlog import Backlog, read_ends
from deploy.local.stack import Addresses
from deploy.replica import ROOT, LogLine, Replica, ReplicaError
from deploy.stored_offsets import Place
from tests.attack.crowd import Ask, Until, crowd
from tests.attack.fleet import Fleet
from tests.attack.line import HOST, Answer, ask, request
from tests.attack.sight import Sight
from tests.attack.topics import Topics
from tests.faults.servers import Servers

MOST_DESCRIPTORS = 1_024
MOST_ADDRESSES_KIB = 4 << 20
_LIMITED = ["sh", "-c", 'ulimit -n "$0" && ulimit -v "$1" && shift && exec "$@"']
_SETTINGS = {
    "KAFKA_SESSION_TIMEOUT_MS": "10000",
    "KAFKA_HEARTBEAT_INTERVAL_MS": "500",
    "LAG_INTERVAL_S": "1",
    "REGISTERED_DEVICES_ONLY": "true",
    # By default a minute: a body may be large, and its sender far away.
    "HTTP_BODY_TIMEOUT_S": "10",
}
# So that what takes minutes by default is seen in seconds. Trees that know none of it ignore it.
_BRIEF = {
    "HTTP_HEAD_TIMEOUT_S": "2",
    "HTTP_BODY_TIMEOUT_S": "2",
    "ADDRESS_RATE_LIMIT_PER_MINUTE": "600",
    "ASSIGNMENT_CHANGES_PER_DAY": "20",
}
_KEYS = 22
_OTHERS = "127.0.3.3"
_UNTIL_READY_S, _UNTIL_SAID_S = 20.0, 8.0


class Site:
    """`brief` asks attacks for the form that takes seconds; `code` is the tree that is run."""

    def __init__(
        self,
        servers: Servers,
        fleet: Fleet,
        *,
        folder: Path,
        code: Path = ROOT,
        brief: bool = False,
    ) -> None:
        self.servers = servers
        self.fleet = fleet
        self.folder = folder
        self.code = code
        self.brief = brief
        self.name = f"attack_{uuid.uuid4().hex[:8]}"
        self.keys = [secrets.token_urlsafe(16) for _ in range(_KEYS)]
        """The attacker's is the first, that of the onlooker the last."""
        self.said: Counter[str] = Counter()
        self.faults: list[str] = []
        self.remarks: list[str] = []
        self._cleanup = ExitStack()
        self._started = 0
        self._lines = 0

    def __enter__(self) -> Self:
        with ExitStack() as cleanup:
            addresses = Addresses(
                kafka_bootstrap_servers=self.servers.kafka.bootstrap,
                database_url=self.servers.postgres.url("postgres"),
            )
            self.url = self.fleet.copy(self.name)
            cleanup.callback(self.fleet.remove, self.name)
            ends = read_ends(addresses)
            with self.session() as session:
                Backlog(ends, ends).give_to(self.name, session)
            self.topics = Topics(self)
            self.replica = cleanup.enter_context(self.started("replica", "-m", "consumer", "run"))
            self.api = cleanup.enter_context(self.started("api", "-m", "api", "run"))
            self.replica.wait_for("partitions_opened")
            self.port = self.port_of(self.api)
            self._wait_until_ready()
            self.sight = cleanup.enter_context(
                Sight(
                    self.folder / f"{self.name}.sight",
                    port=self.port,
                    key=self.keys[-1],
                    device="veh-1",
                    pids={"api": self.api.process.pid, "replica": self.replica.process.pid},
                )
            )
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    # Processes.

    @contextmanager
    def started(self, name: str, *command: str, **settings: str) -> Iterator[Replica]:
        """Start another process of the tree, with bounds on what it can take of the machine."""
        self._started += 1
        process = Replica(
            self.environment(**settings),
            log_file=self.folder / f"{self.name}-{name}-{self._started}.log",
            command=command,
            folder=self.code,
            under=[*_LIMITED, str(MOST_DESCRIPTORS), str(MOST_ADDRESSES_KIB)],
        )
        try:
            yield process
        finally:
            process.kill()

    def environment(self, **settings: str) -> dict[str, str]:
        """Return what processes of this site are told."""
        digests = [hashlib.sha256(key.encode()).hexdigest() for key in self.keys]
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.servers.kafka.bootstrap,
            "DATABASE_URL": self.url,
            "CONSUMER_GROUP": self.name,
            "API_KEYS": ",".join(digests),
            **_SETTINGS,
            **(_BRIEF if self.brief else {}),
            **settings,
        }

    @staticmethod
    def port_of(process: Replica) -> int:
        return int(process.wait_for("http_listening")["port"])

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _UNTIL_READY_S
        while self.ask("GET", "/health/ready").said != "200":
            if time.monotonic() > deadline:
                raise ReplicaError("the API has not become ready")
            time.sleep(0.05)

    # What attacks do.

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        number: int | None = None,
        patience: float = 10.0,
    ) -> Answer:
        """Ask the API, with the key of this number; a body is written as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        key = None if number is None else self.keys[number]
        message = request(method, path, key=key, body=data)
        return ask(self.port, message, source=_OTHERS, patience=patience)

    def flood(
        self,
        ask: Ask,
        *,
        size: int,
        seconds: float,
        source: str = HOST,
        until: Until = bool,
        **manner: float,
    ) -> Counter[str]:
        """Let a crowd ask the API, count what it is told, and return that."""
        said = crowd(
            self.port, ask, size=size, seconds=seconds, source=source, until=until, **manner
        )
        self.said.update(said)
        return said

    def begin(self) -> None:
        """Forget what earlier attacks left behind."""
        self.faults, self.remarks = [], []
        self.said.clear()
        self._lines = len(self.api.log())

    def logged(self, event: str) -> list[LogLine]:
        """Return what the API has logged of this event since the attack began."""
        return [line for line in self.api.log()[self._lines :] if line.get("event") == event]

    def note(self, answer: Answer) -> Answer:
        """Count what was said."""
        self.said[answer.said] += 1
        return answer

    def expect(self, truth: object, otherwise: str) -> None:
        """Keep a fault unless the condition holds."""
        if not truth:
            self.faults.append(otherwise)

    def expect_only(self, said: Counter[str], *allowed: str) -> None:
        """Keep a fault if anything else was said."""
        others = {one: times for one, times in said.items() if one not in allowed}
        self.expect(not others, f"was told {others}, and not only {', '.join(allowed)}")

    def brief_or(self, brief: int, long: int) -> int:
        return brief if self.brief else long

    # What became of it.

    def session(self) -> psycopg.Connection:
        return psycopg.connect(self.url, autocommit=True)

    def count(self, query: str, *parameters: object) -> int:
        """Return the one number that a query answers."""
        with self.session() as session:
            row = session.execute(query, parameters).fetchone()
        return int(row[0] or 0) if row else 0

    def growth_of_api(self) -> int:
        """Return the bytes that the API has taken at the most since the attack began."""
        return self.sight.growth("api")

    def growth_of_replica(self) -> int:
        return self.sight.growth("replica")

    def expect_said_by_replica(self, series: str, place: Place, *, least: float) -> None:
        """Within some seconds a gauge of this name says so of the partition."""
        topic, partition = place
        deadline = time.monotonic() + _UNTIL_SAID_S
        value = 0.0
        while value < least and time.monotonic() < deadline:
            try:
                _, page = self.replica.get("/metrics")
            except OSError:
                page = ""
            value = max(
                (
                    float(line.rsplit(" ", 1)[1])
                    for line in page.splitlines()
                    if line.startswith("telemetry_")
                    and series in line.partition("{")[0]
                    and _is_about(line, topic=topic, partition=partition)
                ),
                default=0.0,
            )
            time.sleep(0.2)
        self.expect(value >= least, f"no metric of {series} says so of {topic}/{partition}")

    def check_alive(self) -> None:
        """Both processes run, and the API answers."""
        for name, process in (("API", self.api), ("replica", self.replica)):
            code = process.process.poll()
            self.expect(code is None, f"the {name} has ended with {code}")
        if self.api.process.poll() is None:
            said = self.sight.wait_for_life()
            self.expect(said == "200", f"/health/live was told {said} after it")


def _is_about(line: str, **labels: object) -> bool:
    """Return whether a series is of these labels, as far as it has them."""
    return all(f'{name}="{value}"' in line for name, value in labels.items() if f"{name}=" in line)
