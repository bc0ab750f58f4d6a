"""A standby is promoted under load, and every program goes on by itself; nothing is lost."""

import os
import signal
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from deploy.local.stack import Addresses
from deploy.replica import Replica
from tests.acceptance.conftest import API_KEY, Environment, until
from tests.acceptance.simulator import simulate, verify
from tests.at_the_end import start_at_the_end
from tests.standbys import Member, pair, url

Members = tuple[Member, Member]
STORED = "telemetry_messages_total{"
LIVE = ["run", "--devices", "300", "--chaos", "0.05", "--quiet"]
HEADERS = {"Authorization": f"Bearer {API_KEY}"}


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Members]:
    with pair(tmp_path) as both:
        yield both


@pytest.fixture
def environment(servers: Addresses, members: Members, group: str) -> Environment:
    """The settings of programs that find the primary by themselves."""
    database_url = url(*members, attributes="read-write")
    start_at_the_end(servers.kafka_bootstrap_servers, database_url, group)
    return {
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
        "DATABASE_URL": database_url,
        "CONSUMER_GROUP": group,
        "LAG_INTERVAL_S": "0.2",
        "API_KEYS": sha256(API_KEY.encode()).hexdigest(),
    }


def stored(member: Member) -> int:
    [(count,)] = member.ask("SELECT sum(next_offset) FROM ingest_offset")
    return int(str(count))


def registers(api: Replica, meter_id: str) -> bool:
    """Return whether the API enters a device."""
    answer = httpx.post(
        f"{api.address}/v1/devices/meters", json={"meterId": meter_id}, headers=HEADERS, timeout=30
    )
    assert answer.status_code in {201, 503}, answer.text
    return answer.status_code == 201


@pytest.mark.timeout(300)
def test_promotions_under_load_lose_nothing(
    environment: Environment,
    members: Members,
    start: Callable[..., Replica],
    tmp_path: Path,
) -> None:
    first, second = members
    replica, api = start(), start(command=("-m", "api", "run"))
    replica.wait_for("partitions_opened")
    ledgers = [tmp_path / "synchronous", tmp_path / "asynchronous"]

    # What a synchronous standby has is all that was acknowledged: nothing is forgotten.
    first.set("synchronous_standby_names", "second")
    until(
        lambda: first.ask("SELECT sync_state FROM pg_stat_replication") == [("sync",)],
        what="the standby is synchronous",
    )
    live = [*LIVE, "--duration", "3h", "--rate", "800", "--ledger", str(ledgers[0])]
    simulator = simulate(environment, *live)
    until(lambda: replica.metric(STORED) > 1_000, what="the flow is under way")
    assert registers(api, "mtr-before")
    # The last commits are not on the standby yet, and are lost: none of them counts as stored.
    [(receiver,)] = second.ask("SELECT pid FROM pg_stat_wal_receiver")
    os.kill(int(str(receiver)), signal.SIGSTOP)
    waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    until(lambda: first.ask(waiting) == [(True,)], what="a commit waits for the standby")
    for member in members:
        member.kill()
    second.start()
    second.promote()
    before = stored(second)
    until(lambda: stored(second) > before, what="it is stored again")
    until(lambda: registers(api, "mtr-after"), what="the API writes again")
    assert simulator.poll() is None, "the load has ended too early"
    simulator.terminate()
    assert simulator.wait(60) == 0
    assert verify(environment, ledgers[:1]) == 0
    assert replica.events("offsets_forgotten") == replica.events("batch_fenced") == []
    assert second.ask("SELECT meter_id FROM meter ORDER BY 1") == [("mtr-after",), ("mtr-before",)]

    # An asynchronous one lacks the last commits, which Kafka still has.
    first.follow(second, name="first")
    first.stop()
    kept = stored(second)
    live = [*LIVE, "--duration", "3m", "--rate", "max", "--ledger", str(ledgers[1])]
    assert simulate(environment, *live).wait(60) == 0
    assert verify(environment, ledgers) == 0
    second.kill()
    first.start()
    assert stored(first) == kept
    first.promote()
    # Nothing is sent any more: what is forgotten is found out without a flush.
    replica.wait_for("offsets_forgotten")
    assert verify(environment, ledgers) == 0
    assert stored(first) > kept
    assert replica.process.poll() is api.process.poll() is None
    until(lambda: replica.get("/health/ready")[0] == 200, what="the replica is ready")
    until(lambda: api.get("/health/ready")[0] == 200, what="the API is ready")
