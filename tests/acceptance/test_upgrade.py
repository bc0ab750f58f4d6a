"""An upgrade under load: first the schema, then the replicas; old ones go on until they leave."""

import json
import signal
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from deploy.local.stack import Addresses
from deploy.replica import ROOT, Replica
from runtime.postgres.schema_version import NEEDED
from tests.acceptance.conftest import Environment, query, until
from tests.acceptance.program import Ended, run
from tests.acceptance.simulator import simulate, verify
from tests.needed import UNVERSIONED, tree_of, unversioned_schema

STORED = 'telemetry_messages_total{outcome="stored"'
ASSIGNED = "telemetry_assigned_partitions"
TOO_OLD = (
    f"the schema is at version 0, this code needs {NEEDED}: run `python -m consumer schema apply`"
)
# More often than a statement is asked before psycopg prepares it.
ASKED = 8

Start = Callable[[Path, str], Replica]


@pytest.fixture(scope="module")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree_of(UNVERSIONED, tmp_path_factory.mktemp("git") / "tree")


@pytest.fixture
def database_url(servers: Addresses, old_code: Path) -> Iterator[str]:
    """A database with the schema of the old code."""
    name = f"old_{uuid.uuid4().hex[:12]}"
    url = servers.database_url.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        with psycopg.connect(url) as connection:
            connection.execute(unversioned_schema(old_code).encode())
        yield url
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def start(environment: Environment, tmp_path: Path) -> Iterator[Start]:
    """Start a service of some tree's code; whatever still runs at the end is killed."""
    started: list[Replica] = []

    def start_one(tree: Path, service: str) -> Replica:
        replica = Replica(
            environment if tree == ROOT else environment | {"PYTHONPATH": str(tree)},
            log_file=tmp_path / f"{service}-{len(started)}.log",
            command=("-m", service, "run"),
            folder=tree,
        )
        started.append(replica)
        return replica

    yield start_one
    for replica in started:
        replica.kill()


def schema(environment: Environment, *arguments: str) -> Ended:
    return run(environment, "consumer", "schema", *arguments)


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


def register(api: Replica, meter: str) -> int:
    request = urllib.request.Request(  # noqa: S310  our own API
        f"{api.address}/v1/devices/meters",
        json.dumps({"meterId": meter}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  our own API
        return int(answer.status)


def answers(api: Replica, vehicle: str) -> list[int]:
    """Return the statuses of some questions, each asked often."""
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


@pytest.mark.timeout(300)
def test_old_replicas_go_on_while_the_schema_is_applied_and_new_ones_take_over(
    start: Start, environment: Environment, old_code: Path, tmp_path: Path
) -> None:
    old = [start(old_code, "consumer") for _ in range(2)]
    old_api = start(old_code, "api")
    share(*old)
    ledger = tmp_path / "ledger"
    load = ["run", "--devices", "300", "--rate", "300", "--chaos", "0.02", "--quiet"]
    simulator = simulate(environment, *load, "--ledger", str(ledger))
    try:
        go_on(*old)
        ((vehicle,),) = query(environment, "SELECT min(vehicle_id) FROM vehicle_current_state")
        assert isinstance(vehicle, str)
        assert register(old_api, "mtr-before") == 201
        assert set(answers(old_api, vehicle)) == {200}

        # A newer replica waits, says why, and takes nothing from those that can store.
        new = [start(ROOT, "consumer")]
        told: set[tuple[object, object]] = set()
        while ("check", TOO_OLD) not in told:  # its upkeep may be refused before
            new[0].wait_for("database_refuses", times=len(told) + 1)
            told = {(one["work"], one["error"]) for one in new[0].events("database_refuses")}
        assert new[0].get("/health/live")[0] == 200
        assert new[0].get("/health/ready")[0] == 503
        assert not new[0].events("database_unavailable")
        new_api = start(ROOT, "api")
        assert new_api.wait_for("database_refuses")["error"] == TOO_OLD
        assert new_api.get("/health/ready")[0] == 503
        share(*old)

        planned = schema(environment, "apply", "--dry-run")
        assert (planned.returncode, planned.stdout.splitlines()[0]) == (0, "would apply 0001_adopt")
        applied = schema(environment, "apply")
        assert (applied.returncode, applied.stderr) == (0, "")
        go_on(*old)
        assert register(old_api, "mtr-after") == 201
        assert set(answers(old_api, vehicle)) == {200}

        # It joins by itself; old and new work beside each other.
        new[0].wait_for("database_accepts")
        new.append(start(ROOT, "consumer"))
        share(*old, *new)
        go_on(*old, *new)
        until(lambda: new_api.get("/health/ready")[0] == 200, what="the new API is ready")
        assert set(answers(new_api, vehicle)) == {200}

        assert [replica.stop() for replica in old] == [0, 0]
        share(*new)
        go_on(*new)
    finally:
        simulator.send_signal(signal.SIGTERM)
        assert simulator.wait(60) == 0
    assert verify(environment, [ledger]) == 0
    for replica in (*old, *new):
        assert not replica.events("database_unavailable")
    assert schema(environment, "check").returncode == 0
    assert [replica.stop() for replica in new] == [0, 0]
