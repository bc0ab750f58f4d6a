"""Behind a real PgBouncer: each program works if clients keep sessions, and is refused if not."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from api.postgres.probe import Probes
from api.settings import PoolSettings
from consumer.postgres.connection import connect as connect_consumer
from consumer.settings import DatabaseSettings
from deploy.replica import Replica
from runtime.postgres import pooler
from runtime.postgres.pooler import SharedSession
from runtime.postgres.session import connect
from tests.acceptance.conftest import Environment, query
from tests.acceptance.program import run
from tests.acceptance.simulator import simulate, verify
from tests.pooler import pgbouncer

SETTING = "set its pool_mode to session"


@pytest.fixture
def modes(environment: Environment, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The test's database behind PgBouncer: its URL by mode. Nothing is proven of it yet."""
    pooler._proven.clear()
    with pgbouncer(environment["DATABASE_URL"], tmp_path) as urls:
        yield urls


def test_every_program_works_where_sessions_are_kept(
    environment: Environment,
    modes: dict[str, str],
    start: Callable[..., Replica],
    tmp_path: Path,
) -> None:
    there = environment | {"DATABASE_URL": modes["session"]}
    ledger = tmp_path / "ledger"
    replica = start(DATABASE_URL=modes["session"])
    api = start(DATABASE_URL=modes["session"], command=("-m", "api", "run"))
    live = ["run", "--devices", "100", "--duration", "10m", "--rate", "max", "--quiet"]
    live += ["--chaos", "0.1", "--ledger", str(ledger)]
    assert simulate(there, *live).wait(60) == 0
    assert verify(there, [ledger]) == 0
    assert api.get("/v1/telemetry/meter/mtr-00001/current")[0] == 200
    status, told = api.get("/v1/analytics/fleet/performance")
    assert (status, "window" in json.loads(told)) == (200, True)
    assert api.get("/health/ready")[0] == replica.get("/health/ready")[0] == 200
    assert run(there, "consumer", "offsets", "show").returncode == 0
    asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'wattline-%'"
    assert query(environment, asked) > [(2,)]
    # What a session is set to is its own, and is kept from one statement to the next.
    with connect(modes["session"], application_name="test") as one:
        one.execute("SET statement_timeout = 1234")
        with connect(modes["session"], application_name="test") as other:
            assert other.execute("SHOW statement_timeout").fetchone() == ("0",)
        assert one.execute("SHOW statement_timeout").fetchone() == ("1234ms",)


def test_a_pooler_that_lends_sessions_out_is_refused(
    environment: Environment, modes: dict[str, str], start: Callable[..., Replica], tmp_path: Path
) -> None:
    there = environment | {"DATABASE_URL": modes["transaction"]}
    replica = start(DATABASE_URL=modes["transaction"])
    api = start(DATABASE_URL=modes["transaction"], command=("-m", "api", "run"))
    for program in (replica, api):
        told = program.wait_for("database_refuses")
        assert told["sqlstate"] == "42WL3"
        assert SETTING in told["error"]
        assert program.get("/health/live")[0] == 200
        assert program.get("/health/ready")[0] == 503
        status = 404 if program is replica else 503
        assert program.get("/v1/telemetry/meter/mtr-00001/current")[0] == status
        # The one that could do no work took no partition of the group.
        assert program.events("partitions_opened") == []
        program.kill()  # its proofs end sessions that others are lent
    for command in (["consumer", "offsets", "show"], ["consumer", "schema", "apply"]):
        ended = run(there, *command)
        assert (ended.returncode, SETTING in ended.stderr) == (1, True), ended
        assert len(ended.stderr.splitlines()) == 1
    ledger = tmp_path / "ledger"
    live = ["run", "--devices", "1", "--duration", "1m", "--rate", "max", "--quiet"]
    assert simulate(there, *live, "--ledger", str(ledger)).wait(60) == 0
    ended = run(there, "producer_sim", "verify", str(ledger))
    assert (ended.returncode, SETTING in ended.stderr) == (1, True), ended


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_no_way_to_connect_takes_a_lent_session(modes: dict[str, str], mode: str) -> None:
    url = SecretStr(modes[mode])
    with pytest.raises(SharedSession, match=SETTING):
        await connect_consumer(DatabaseSettings(database_url=url))
    probes = Probes(PoolSettings(database_url=url))
    with pytest.raises(SharedSession, match=SETTING):
        await probes.ping()
    await probes.aclose()
