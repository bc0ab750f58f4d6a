"""Upgrades under load, and back: the schema first, then the replicas; nothing is lost."""

import json
import re
import signal
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from deploy.local.stack import Addresses
from deploy.replica import ROOT, Replica
from runtime.postgres.schema_version import NEEDED
from tests.acceptance.conftest import Environment, query, until
from tests.acceptance.program import run
from tests.acceptance.simulator import simulate, verify
from tests.needed import BEFORE, tree_of

STORED = 'telemetry_messages_total{outcome="stored"'
ASSIGNED = "telemetry_assigned_partitions"
TOO_NEW = (
    f"the schema is at version {NEEDED + 1} and works with code that needs {NEEDED + 1} or newer,"
    f" this code needs {NEEDED}: run a newer release"
)
# More often than a statement is asked before psycopg prepares it.
ASKED = 8


@pytest.fixture(scope="module")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree_of(BEFORE, tmp_path_factory.mktemp("git") / "tree")


@pytest.fixture(scope="module")
def old_version(old_code: Path) -> int:
    """The version of the schema that the old code needs."""
    text = (old_code / "runtime" / "postgres" / "schema_version.py").read_text()
    return int(re.findall(r"^NEEDED = (\d+)$", text, re.MULTILINE)[0])


@pytest.fixture
def database_url(servers: Addresses, old_code: Path) -> Iterator[str]:
    """A database with the schema of the old code."""
    name = f"old_{uuid.uuid4().hex[:12]}"
    url = servers.database_url.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        settings = {"DATABASE_URL": url, "PYTHONPATH": str(old_code)}
        assert run(settings, "consumer", "schema", "apply", folder=old_code).returncode == 0
        yield url
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def go_on(*replicas: Replica) -> None:
    """Wait until each of them has stored more."""
    for replica in replicas:
        stored = replica.metric(STORED)
        until(lambda replica=replica, stored=stored: replica.metric(STORED) > stored, what="stored")  # type: ignore[misc]  # mypy infers no default's type


def share(*replicas: Replica) -> None:
    """Wait until they have equal parts of the partitions."""
    for replica in replicas:
        until(
            lambda replica=replica: replica.metric(ASSIGNED) == 24 / len(replicas),  # type: ignore[misc]  # mypy infers no default's type
            what="the partitions are shared",
        )


def ready(*services: Replica) -> None:
    """Wait until each of them says that it is ready."""
    for one in services:
        until(lambda one=one: one.get("/health/ready")[0] == 200, what="it is ready")  # type: ignore[misc]  # mypy infers no default's type


def waits(service: Replica, line: str) -> None:
    """Wait until a service lives, is not ready and says why, and calls it no outage."""

    def tells() -> bool:
        status, page = service.get("/health/ready")
        return (status, json.loads(page).get("waits_for")) == (503, line)

    until(tells, what=line)
    assert service.get("/health/live")[0] == 200
    assert not service.events("database_unavailable")


def ends(service: Replica, line: str) -> None:
    """Wait until a service has ended by itself, with one line that says why."""
    assert service.wait() == 1
    assert [one["error"] for one in service.events("service_failed")] == [line]
    assert all("level" in one for one in service.log())  # there is no traceback


def register(api: Replica, meter: str) -> int:
    request = urllib.request.Request(  # noqa: S310  our own API
        f"{api.address}/v1/devices/meters",
        json.dumps({"meterId": meter}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  our own API
        return int(answer.status)


class Site:
    """Services of the old code and of the new one, on one database; `old` runs."""

    def __init__(self, environment: Environment, old_code: Path, old_version: int, logs: Path):
        self.environment = environment
        self.old_code = old_code
        self.too_old = (
            f"the schema is at version {old_version}, this code needs {NEEDED}:"
            " run `python -m consumer schema apply`"
        )
        self.back = ("rollback", "--to", str(old_version))
        self._logs = logs
        self.started: list[Replica] = []
        self.old = self.start(old_code, "consumer")
        self.old_api = self.start(old_code, "api")

    def start(self, tree: Path, service: str = "consumer") -> Replica:
        replica = Replica(
            self._of(tree),
            log_file=self._logs / f"{service}-{len(self.started)}.log",
            command=("-m", service, "run"),
            folder=tree,
        )
        self.started.append(replica)
        return replica

    def schema(self, *arguments: str, tree: Path = ROOT) -> str:
        """Return what `consumer schema` prints, which succeeds without a line of error."""
        ended = run(self._of(tree), "consumer", "schema", *arguments, folder=tree)
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    def refused(self, *command: str) -> str:
        """Return the one line of a command that fails."""
        ended = run(self.environment, "consumer", *command)
        assert ended.returncode == 1
        return ended.stderr

    def _of(self, tree: Path) -> Environment:
        return self.environment | {"PYTHONPATH": str(tree)}

    def answers(self, api: Replica) -> list[int]:
        """Return the statuses of some questions, each asked often."""
        [(vehicle,)] = query(self.environment, "SELECT min(vehicle_id) FROM vehicle_current_state")
        return [
            api.get(path)[0]
            for path in (
                "/v1/devices/meters?limit=5",
                "/v1/analytics/fleet/performance",
                f"/v1/analytics/performance/{vehicle}",
                # Of a meter that did not charge it.
                f"/v1/analytics/performance/{vehicle}?meterId=mtr-before",
            )
            for _ in range(ASKED)
        ]

    def the_old_ones_work(self, *, registering: str) -> None:
        go_on(self.old)
        assert register(self.old_api, registering) == 201
        assert set(self.answers(self.old_api)) == {200}

    def the_new_ones_wait(self) -> None:
        """They say why, and take nothing from those that can store."""
        self.new, self.new_api = self.start(ROOT), self.start(ROOT, "api")
        for service in (self.new, self.new_api):
            assert service.wait_for("database_refuses")["error"] == self.too_old
            waits(service, self.too_old)
        assert len(self.new.events("database_refuses")) == 1
        share(self.old)

    def the_schema_is_applied(self) -> None:
        [first, *_] = self.schema("apply", "--dry-run").splitlines()
        self.schema("apply")
        self.migration = first.removeprefix("would apply ")

    def the_new_ones_take_over(self) -> None:
        self.new.wait_for("database_accepts")
        share(self.old, self.new)
        go_on(self.old, self.new)
        ready(self.new, self.new_api)
        assert set(self.answers(self.new_api)) == {200}
        assert self.old.stop() == 0
        share(self.new)
        go_on(self.new)

    def the_old_ones_come_back(self) -> None:
        self.old = self.start(self.old_code)
        share(self.old, self.new)
        go_on(self.old, self.new)
        assert self.new.stop() == 0
        share(self.old)

    def the_schema_goes_back(self) -> None:
        tried = self.schema(*self.back, "--dry-run")
        assert tried.splitlines()[-1] == f"would undo {self.migration}"
        assert self.schema(*self.back) == tried.replace("would undo", "undid")
        self.schema("check", tree=self.old_code)
        waits(self.new_api, self.too_old)

    def the_new_ones_are_outdated(self) -> None:
        """After the schema has become too new for them they end, and store nothing wrong."""
        self.schema("apply")
        self.new = self.start(ROOT)
        share(self.old, self.new)
        go_on(self.old, self.new)
        ready(self.new_api)
        self._execute(f"INSERT INTO schema_version VALUES ({NEEDED + 1}, 'later', {NEEDED + 1})")
        for service in (self.new, self.new_api, self.start(ROOT)):
            ends(service, TOO_NEW)
            assert not service.events("database_unavailable")
        assert self.refused("partitions", "list") == f"error: {TOO_NEW}\n"
        self._execute(f"DELETE FROM schema_version WHERE version > {NEEDED}")
        share(self.old)

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.environment["DATABASE_URL"]) as connection:
            connection.execute(statement.encode())


@pytest.fixture
def site(
    environment: Environment, old_code: Path, old_version: int, tmp_path: Path
) -> Iterator[Site]:
    """Whatever still runs at the end is killed."""
    site = Site(environment, old_code, old_version, tmp_path)
    yield site
    for service in site.started:
        service.kill()


@pytest.mark.timeout(600)
def test_schema_and_replicas_go_forward_and_back_under_load_and_nothing_is_lost(
    site: Site, environment: Environment, tmp_path: Path
) -> None:
    share(site.old)
    ledger = tmp_path / "ledger"
    load = ["run", "--devices", "300", "--rate", "300", "--chaos", "0.02", "--quiet"]
    simulator = simulate(environment, *load, "--ledger", str(ledger))
    try:
        site.the_old_ones_work(registering="mtr-before")
        site.the_new_ones_wait()
        site.the_schema_is_applied()
        site.the_old_ones_work(registering="mtr-after")
        site.the_new_ones_take_over()
        site.the_old_ones_come_back()
        site.the_schema_goes_back()
        site.the_old_ones_work(registering="mtr-again")
        site.the_new_ones_are_outdated()
        go_on(site.old)
    finally:
        simulator.send_signal(signal.SIGTERM)
        assert simulator.wait(60) == 0
    assert verify(environment, [ledger]) == 0
    assert not site.old.events("database_unavailable")
    site.schema("check")
    assert site.old.stop() == 0
