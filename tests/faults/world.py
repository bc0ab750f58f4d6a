"""The world of a scenario: its own group and database, a flow of readings, replicas, watchers.

with World(servers, folder=…, seed=7) as world:
    replica = world.start_replica("a")
    world.begin_flow()
    …                                   the fault
    violations = world.judge()
"""

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql

from consumer.postgres.migrations import schema_text
from deploy.replica import ROOT, Replica
from deploy.stored_offsets import watched
from producer_sim.oracle.verify import verify
from tests.at_the_end import start_at_the_end
from tests.faults.failpoints import Trap, trap_file
from tests.faults.progress import LOOK_S, Progress
from tests.faults.reader import Reader
from tests.faults.servers import Kafka, Servers
from tests.faults.witness import Testimony

SECONDS_TO_MOVE_ON = 60.0
SECONDS_TO_END = 30.0
SESSION_TIMEOUT_S = 3.0
DRAINED_IN_S = 10.0
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The load: devices of each kind, messages a second, and the share of chaos."""

    devices: int = 200
    rate: int = 2_000
    chaos: float = 0.05
    options: tuple[str, ...] = ()


@dataclass
class World:
    """See the module's text. `code` is the tree that replicas run: a mutant's, or our own."""

    servers: Servers
    folder: Path
    seed: int
    code: Path = ROOT
    kafka: Kafka | None = None
    proxied: bool = False
    """Whether replicas reach their servers through the proxies."""
    flow: Flow = field(default_factory=Flow)
    watched: bool = True
    """Whether no flush may go back by more than a batch; a zombie's may."""
    offsets_tell: bool = True
    """Whether every row lies below the stored offsets; not if one was moved by hand."""
    recoveries: list[float] = field(default_factory=list)
    cycles: int = 0
    violations: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    messages: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.group = f"faults-{uuid.uuid4().hex[:10]}"
        self.kafka = self.kafka or self.servers.kafka
        self._cleanup = ExitStack()
        self.afterwards = ExitStack()
        """What is to be undone when the database is gone."""
        self._replicas: list[Replica] = []
        self._ended_on_purpose: set[Replica] = set()
        self._ledgers: list[Path] = []
        self._simulators: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.database_url = self._create_database()
        bootstrap = self.kafka.bootstrap if self.kafka else ""
        start_at_the_end(bootstrap, self.database_url, self.group)
        self.progress = Progress()
        self._cleanup.enter_context(
            watched(
                self.progress.note,
                database_url=self.database_url,
                consumer_group=self.group,
                interval_s=LOOK_S,
            )
        )
        self.reader = self._cleanup.enter_context(
            Reader(database_url=self.database_url, bootstrap=bootstrap, consumer_group=self.group)
        )
        return self

    def __exit__(self, *_: object) -> None:
        for simulator in self._simulators:
            simulator.kill()
            simulator.wait()
        for replica in self._replicas:
            replica.kill()
        self._cleanup.close()
        with self.admin() as admin:
            admin.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(
                    sql.Identifier(self.database)
                )
            )
        self.afterwards.close()

    # Replicas.

    def start_replica(
        self,
        name: str | None = None,
        *,
        trap: Trap | None = None,
        under: Sequence[str] = (),
        **settings: str,
    ) -> Replica:
        """Start a replica; a name makes it a static member, which may come back at once.

        `under` is a program that runs it.
        """
        assert self.kafka is not None
        bootstrap, url = self.kafka.bootstrap, self.database_url
        if self.proxied and self.kafka.proxy is not None:
            bootstrap = f"127.0.0.1:{self.kafka.proxy.port}"
            url = self.servers.postgres.url(self.database, port=self.servers.postgres.proxy.port)
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "DATABASE_URL": url,
            "CONSUMER_GROUP": self.group,
            "KAFKA_SESSION_TIMEOUT_MS": str(int(SESSION_TIMEOUT_S * 1_000)),
            "KAFKA_HEARTBEAT_INTERVAL_MS": "250",
            "FLUSH_INTERVAL_MS": "100",
            "BATCH_MAX_ROWS": "2000",
            "LAG_INTERVAL_S": "1",
            "WITNESS": str(self._witness),
            **({"KAFKA_GROUP_INSTANCE_ID": name} if name else {}),
            **({"FAILPOINT": str(trap)} if trap else {}),
            **settings,
        }
        replica = Replica(
            environment,
            log_file=self.folder / f"replica-{len(self._replicas)}.log",
            command=("-m", "tests.faults.armed", "run"),
            folder=self.code,
            under=under,
        )
        self._replicas.append(replica)
        return replica

    def begin(self, *, replicas: int = 2, **settings: str) -> list[Replica]:
        """Start replicas and the flow; return them when messages are being stored."""
        started = [self.start_replica(trap=None, **settings) for _ in range(replicas)]
        for replica in started:
            replica.wait_for("partitions_opened")
        self.begin_flow()
        self.progress.wait_for_more(1_000)
        return started

    def arm(self, replica: Replica, trap: Trap) -> None:
        """Set a trap in a replica that runs."""
        trap_file(self._witness, replica.process.pid).write_text(str(trap))
        replica.process.send_signal(signal.SIGUSR1)

    def kill(self, replica: Replica) -> None:
        """End a replica at once, as a crash would."""
        self._ended_on_purpose.add(replica)
        replica.kill()

    def stop(self, replica: Replica, *, code: int = 0) -> None:
        """End a replica in order, soon, with this exit code."""
        replica.wait_for("service_starting")  # Python itself would die of it
        self._ended_on_purpose.add(replica)
        begun = time.monotonic()
        ended_with = replica.stop()
        seconds = time.monotonic() - begun
        self.expect(ended_with == code, f"a replica's exit code after SIGTERM was {ended_with}")
        self.expect(seconds <= DRAINED_IN_S, f"a replica took {seconds:.1f} s to end")

    def end_in_order(self, replica: Replica) -> None:
        """End a replica by SIGTERM, whatever its exit code."""
        self._ended_on_purpose.add(replica)
        replica.stop()

    def wait_until_sprung(self, replica: Replica, *, seconds: float = 30.0) -> bool:
        """Wait for a trap that kills, then return whether it did."""
        self._ended_on_purpose.add(replica)
        try:
            return replica.process.wait(timeout=seconds) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False

    def suspended(self, replica: Replica, *, seconds: float = 30.0) -> bool:
        """Wait for a trap that suspends, then return whether it did."""
        stat = Path(f"/proc/{replica.process.pid}/stat")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if stat.read_text().rpartition(")")[2].split()[0] == "T":
                return True
            time.sleep(0.01)
        return False

    # The flow.

    def begin_flow(self, flow: Flow | None = None) -> None:
        """Start the simulator, beside those that run; return when its messages arrive."""
        flow = flow or self.flow
        ledger = self.folder / f"ledger-{len(self._ledgers)}"
        self._ledgers.append(ledger)
        command = ["run", "--devices", str(flow.devices), "--rate", str(flow.rate)]
        command += ["--duration", "72h", "--chaos", str(flow.chaos), "--seed", str(self.seed)]
        command += ["--fleet", uuid.uuid4().hex[:6], "--ledger", str(ledger), "--quiet"]
        assert self.kafka is not None
        with (self.folder / "simulator.log").open("ab") as log:
            self._simulators.append(
                subprocess.Popen(
                    [sys.executable, "-m", "producer_sim", *command, *flow.options],
                    cwd=ROOT,
                    env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap},
                    stdout=log,
                    stderr=log,
                )
            )

    def end_flow(self) -> None:
        """Stop the simulators; their ledgers are closed."""
        for simulator in self._simulators:
            simulator.send_signal(signal.SIGTERM)
        for simulator in self._simulators:
            simulator.wait(SECONDS_TO_END)
        self._simulators.clear()

    def run_flow(self, *arguments: str) -> None:
        """Send a load that ends by itself."""
        ledger = self.folder / f"ledger-{len(self._ledgers)}"
        self._ledgers.append(ledger)
        assert self.kafka is not None
        command = ["run", *arguments, "--fleet", uuid.uuid4().hex[:6], "--quiet"]
        subprocess.run(
            [sys.executable, "-m", "producer_sim", *command, "--ledger", str(ledger)],
            cwd=ROOT,
            env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap},
            check=True,
        )

    # What became of it.

    def recovered(self, *, since: float) -> float:
        """Wait until every partition has moved on since that moment; keep and return how long."""
        seconds = self.progress.wait_for_all(since=since)
        self.recoveries.append(seconds)
        return seconds

    def expect(self, truth: object, otherwise: str) -> None:
        """Note a violation unless the condition holds."""
        if not truth:
            self.violations.append(otherwise)

    def judge(self) -> list[str]:
        """End the flow, let the replicas catch up, and check every invariant by value."""
        self.end_flow()
        report = verify(
            self._ledgers,
            database_url=self.database_url,
            consumer_group=self.group,
            exact=True,
            wait_seconds=SECONDS_TO_MOVE_ON,
        )
        self.reader.stop()
        self.violations += self.reader.violations
        if self.offsets_tell and len(self._ledgers) == 1:
            self.violations += self.reader.compare(self._ledgers[0])
        for check in report.checks:
            if check.violations:
                examples = "; ".join(map(str, check.examples[:_SHOWN]))
                self.violations.append(f"{check.name}: {check.violations}, as {examples}")
        for replica in self._replicas:
            code = replica.process.poll()
            if code is not None and replica not in self._ended_on_purpose:
                self.violations.append(f"a replica ended by itself with exit code {code}")
        testimony = self.testimony
        if self.watched:
            self.violations += testimony.rewinds
        self.messages = report.totals.get("messages", 0)
        return self.violations

    @property
    def testimony(self) -> Testimony:
        return Testimony.read(self._witness)

    @property
    def replicas(self) -> list[Replica]:
        """Those that run."""
        return [one for one in self._replicas if one.process.poll() is None]

    # Servers.

    @property
    def database(self) -> str:
        return self.group.replace("-", "_")

    def admin(self) -> psycopg.Connection:
        """Return a session of the server's, in another database."""
        return psycopg.connect(self.servers.postgres.url("postgres"), autocommit=True)

    def session(self) -> psycopg.Connection:
        """Return a session in the scenario's database."""
        return psycopg.connect(self.database_url, autocommit=True)

    @property
    def _witness(self) -> Path:
        return self.folder / "witness.txt"

    def _create_database(self) -> str:
        name = sql.Identifier(self.database)
        with self.admin() as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(name))
        url = self.servers.postgres.url(self.database)
        with psycopg.connect(url) as connection:
            connection.execute(schema_text())
        return url
