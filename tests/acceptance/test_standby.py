"""An API whose questions go to a standby says of which time its answers are."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from api.postgres.database import Database
from api.problems import Problem
from api.settings import PoolSettings
from deploy.local.stack import Addresses
from deploy.replica import Replica
from tests.acceptance.conftest import Environment, until
from tests.standbys import Member, pair, url

Members = tuple[Member, Member]
AT = datetime(2026, 1, 1, tzinfo=UTC)
CURRENT = "/v1/telemetry/meter/mtr-1/current"
SOON = timedelta(seconds=5)


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    with pair(tmp_path_factory.mktemp("pair")) as both:
        yield both


@pytest.fixture
def environment(servers: Addresses, members: Members) -> Environment:
    """The settings of an API that asks the standby, and writes wherever writes are taken."""
    primary, standby = members
    return {
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
        "DATABASE_URL": url(*members, attributes="read-write"),
        "DATABASE_READ_URL": url(standby, primary, attributes="prefer-standby"),
        "DATABASE_STATEMENT_TIMEOUT_S": "30",
    }


def store(primary: Member, minute: int) -> None:
    """Store a reading, taken this many minutes after AT."""
    at = AT + timedelta(minutes=minute)
    primary.ask(
        f"INSERT INTO meter_current_state (meter_id, recorded_at, kwh_consumed_ac, voltage,"
        f" updated_at) VALUES ('mtr-1', '{at}', {minute}, 230, now())"
        f" ON CONFLICT (meter_id) DO UPDATE SET recorded_at = excluded.recorded_at,"
        f" kwh_consumed_ac = excluded.kwh_consumed_ac"
    )


class Asker:
    """Asks the API, and reads the header."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def ask(self, path: str = CURRENT) -> tuple[Any, datetime]:
        """Return the answer, and of which time it is."""
        answer = self._client.get(path)
        return answer.json(), datetime.fromisoformat(answer.headers["X-Wattline-As-Of"])

    def registers(self, meter_id: str) -> bool:
        answer = self._client.post("/v1/devices/meters", json={"meterId": meter_id})
        assert answer.status_code in {201, 503}, answer.text
        return answer.status_code == 201


@pytest.fixture
def asker(start: Callable[..., Replica]) -> Iterator[Asker]:
    api = start(command=("-m", "api", "run"))
    with httpx.Client(base_url=api.address, timeout=30) as client:
        yield Asker(client)


def is_new(asker: Asker) -> bool:
    return asker.ask()[1] > datetime.now(UTC) - SOON


async def test_a_question_that_recovery_ends_is_told_so(members: Members) -> None:
    primary, standby = members
    standby.set("max_standby_streaming_delay", "0")
    store(primary, 0)
    pool = PoolSettings(
        database_url=SecretStr(primary.server.url),
        database_read_url=SecretStr(standby.server.url),
        database_statement_timeout_s=60,
    )
    until(lambda: standby.ask("SELECT 1 FROM meter_current_state") == [(1,)], what="it is there")
    thread = threading.Thread(target=_lock_when_asked, args=(primary, standby))
    async with Database(pool).opened() as database:
        thread.start()
        with pytest.raises(Problem) as raised:
            async with database.snapshot() as connection:
                await connection.execute("SELECT pg_sleep(30) FROM meter_current_state")
        thread.join()
    assert "recovery conflict" in raised.value.detail
    assert (raised.value.status, raised.value.headers["Retry-After"]) == (503, "2")


def _lock_when_asked(primary: Member, standby: Member) -> None:
    """Lock the table, which the standby must do too, once a question reads it there."""
    sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    until(lambda: standby.ask(sleeps) == [(1,)], what="the question is asked")
    with psycopg.connect(primary.server.url) as connection:
        connection.execute("LOCK TABLE meter_current_state IN ACCESS EXCLUSIVE MODE")
        connection.execute("SELECT pg_current_xact_id()")


def test_an_answer_of_a_standby_says_of_which_time_it_is(members: Members, asker: Asker) -> None:
    primary, standby = members
    store(primary, 1)
    until(lambda: asker.ask()[0].get("kwhConsumedAc") == 1, what="the standby has it")
    # Nothing is committed any more, which is no lag: the time goes on.
    _, first = asker.ask()
    until(lambda: asker.ask()[1] > first + timedelta(seconds=1.5), what="the time goes on")
    assert is_new(asker)

    standby.ask("SELECT pg_wal_replay_pause()")
    until(
        lambda: standby.ask("SELECT pg_get_wal_replay_pause_state()") == [("paused",)],
        what="the standby stands still",
    )
    store(primary, 2)
    written_at = datetime.now(UTC)
    until(lambda: datetime.now(UTC) > written_at + SOON / 2, what="it is old")
    answer, as_of = asker.ask()
    assert (answer["kwhConsumedAc"], as_of < written_at) == (1, True)
    fleet, as_of = asker.ask("/v1/analytics/fleet/performance")
    assert datetime.fromisoformat(fleet["window"]["asOf"]) <= as_of < written_at
    assert asker.ask("/v1/telemetry/meter/mtr-none/current")[1] < written_at
    # A write goes to the primary, and is of now.
    assert asker.registers("mtr-1")

    standby.ask("SELECT pg_wal_replay_resume()")
    until(lambda: asker.ask()[0]["kwhConsumedAc"] == 2, what="it follows")
    until(lambda: is_new(asker), what="it has all")

    # The primary is made read-only, as before a switch, and keeps its connections.
    primary.set("default_transaction_read_only", "on")
    until(lambda: not asker.registers(f"mtr-{datetime.now(UTC):%H%M%S%f}"), what="no writes")
    standby.promote()
    until(lambda: asker.registers("mtr-2"), what="the API writes to the other server")
    assert ("mtr-2",) in standby.ask("SELECT meter_id FROM meter")
    assert is_new(asker)
