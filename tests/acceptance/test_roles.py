"""Each program and each command under the role that docs/roles.md names, and refused under less."""

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from consumer.__main__ import main
from deploy.local.addresses import psql_environment
from deploy.local.postgres.unprivileged import programs
from deploy.local.stack import Addresses
from deploy.replica import ROOT, Replica
from tests.acceptance.conftest import Environment, produce, query, until
from tests.acceptance.program import run
from tests.acceptance.readings import meter_message
from tests.acceptance.series import DEAD, STORED
from tests.at_the_end import start_at_the_end
from tests.databases import Template

OWNER, CONSUMER, API, READER = ROLES = (
    "wattline_owner", "wattline_consumer", "wattline_api", "wattline_reader",
)  # fmt: skip
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
NOW = datetime.now(UTC)
LATE = NOW - timedelta(days=40)
EXPIRED = (NOW - timedelta(days=500)).date()
OVERDUE = "telemetry_history_overdue_days"


BAD = "value = '{'"
Command = Callable[..., tuple[int, str]]


@dataclass(frozen=True, kw_only=True)
class Site:
    """A replica and an API, each under its role; environments by role, '' for the superuser."""

    environments: dict[str, Environment]
    replica: Replica
    api: Replica

    @property
    def superuser(self) -> Environment:
        return self.environments[""]

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return the API's answer."""
        answer = httpx.request(method, f"{self.api.address}{path}", json=body, timeout=30)
        assert answer.is_success, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.text.startswith("{") else answer.text


@pytest.fixture(scope="module")
def site(
    servers: Addresses, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("roles")
    with ExitStack() as cleanup:
        url = cleanup.enter_context(template.copy())
        group = f"test-{uuid.uuid4().hex[:12]}"
        start_at_the_end(servers.kafka_bootstrap_servers, url, group)
        plain = {
            "KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
            "DATABASE_URL": url,
            "CONSUMER_GROUP": group,
            "PARTITIONS_INTERVAL_S": "1",
        }
        change(plain, expired_day("meter_history"))
        made = run(plain, "consumer", "schema", "roles")
        assert made.returncode == 0, made.stderr
        passwords = {
            f"{role.removeprefix('wattline_').upper()}_PASSWORD": uuid.uuid4().hex for role in ROLES
        }
        cleanup.callback(drop_logins, plain)
        for _ in range(2):  # the second changes nothing
            make_logins(plain, passwords)
        environments = {"": plain}
        for role, service in ((OWNER, "retention"), (CONSUMER, "consumer"), (API, "api")):
            environments[role] = plain | {"DATABASE_URL": url_of(plain, service, passwords)}
        read = environments[API]["DATABASE_URL"].replace("compose_api", "compose_reader")
        read = read.replace(passwords["API_PASSWORD"], passwords["READER_PASSWORD"])
        environments[READER] = plain | {"DATABASE_URL": read}
        replica = Replica(environments[CONSUMER], log_file=folder / "consumer.log")
        cleanup.callback(replica.kill)
        api = Replica(environments[API], log_file=folder / "api.log", command=("-m", "api", "run"))
        cleanup.callback(api.kill)
        yield Site(environments=environments, replica=replica, api=api)


def change(environment: Environment, statement: str) -> None:
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(statement.encode())


def expired_day(history: str) -> str:
    ends = EXPIRED + timedelta(days=1)
    return (
        f"CREATE TABLE {history}_{EXPIRED:%Y%m%d} PARTITION OF {history}"
        f" FOR VALUES FROM ('{EXPIRED} 00:00+00') TO ('{ends} 00:00+00')"
    )


@pytest.fixture
def command(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run a command of the consumer under a role, within this process: its exit code and words."""

    def run_one(role: str, words: str, **settings: str) -> tuple[int, str]:
        for name, value in (site.environments[role] | settings).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["consumer", *words.split()])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return code, said.out + said.err

    return run_one


def make_logins(environment: Environment, passwords: dict[str, str]) -> None:
    """Make the logins as compose does."""
    psql = programs(None) / "psql"
    subprocess.run(
        [psql, "--quiet", "--file", str(ROOT / "deploy" / "compose" / "logins.sql")],
        env=environment | psql_environment(environment["DATABASE_URL"]) | passwords,
        check=True,
    )


def drop_logins(environment: Environment) -> None:
    for role in ROLES:
        change(environment, f"DROP ROLE {role.replace('wattline', 'compose')}")


def url_of(environment: Environment, service: str, passwords: dict[str, str]) -> str:
    """Return the DATABASE_URL of a service of compose, on the test's server."""
    url = str(SERVICES[service]["environment"]["DATABASE_URL"])
    _, _, here = environment["DATABASE_URL"].rpartition("@")
    filled = re.sub(r"\$\{(\w+):[^}]*\}", lambda name: passwords[name[1]], url)
    return filled.replace("postgres:5432/wattline", here)


def test_what_a_fleet_sends_is_stored_rolled_up_and_answered(site: Site, tmp_path: Path) -> None:
    """The API registers and ingests, the consumer stores, and a reader verifies all of it."""
    ledger = str(tmp_path / "ledger")
    world = ["--world", "--devices", "8", "--interval", "600", "--duration", "24h"]
    sent = run(
        site.environments[READER], "producer_sim", "run", *world,
        "--rate", "max", "--chaos", "0.02", "--quiet", "--api", site.api.address,
        "--ledger", ledger,
    )  # fmt: skip
    assert sent.returncode == 0, sent.stdout + sent.stderr
    verified = run(
        site.environments[READER], "producer_sim", "verify", ledger, "--exact",
        "--answers", site.api.address, "--json",
    )  # fmt: skip
    assert json.loads(verified.stdout)["clean"], verified.stdout + verified.stderr
    assert site.replica.metric(DEAD) > 0
    rolled_up = "SELECT 1 WHERE EXISTS (SELECT FROM vehicle_day)"
    rolled_up += " AND NOT EXISTS (SELECT FROM rollup_due)"
    until(lambda: bool(query(site.superuser, rolled_up)), what="it is rolled up")
    for program in (site.replica, site.api):
        assert program.get("/health/ready")[0] == 200
        assert not program.events("database_refuses")
    psql = "SELECT (vehicle_performance(vehicle_id, now() - interval '1 d', now())).* FROM vehicle"
    assert query(site.environments[READER], psql)


def test_a_late_reading_gets_its_day_and_removing_days_is_left_to_the_owner(
    site: Site, command: Command
) -> None:
    stored = site.replica.metric(STORED)
    produce(site.superuser, "telemetry.meter", [meter_message("mtr-late", LATE)])
    until(lambda: site.replica.metric(STORED) > stored, what="the late reading is stored")
    owner = f"SELECT tableowner FROM pg_tables WHERE tablename = 'meter_history_{LATE:%Y%m%d}'"
    assert query(site.superuser, owner) == [(OWNER,)]
    until(lambda: site.replica.metric(OVERDUE) == 1, what="a day is overdue")
    # It has looked several times.
    [line] = site.replica.events("history_removal_left_to_owner")
    assert line["owner"] == OWNER
    assert not site.replica.events("database_refuses")
    code, said = command(CONSUMER, "partitions maintain")
    assert (code, "are removed by the owner of the histories" in said) == (1, True), said
    code, said = command(OWNER, "partitions maintain")
    assert (code, f"dropped 1: meter_history_{EXPIRED:%Y%m%d}" in said) == (0, True), said
    until(lambda: site.replica.metric(OVERDUE) == 0, what="no day is overdue")


def test_the_api_does_all_that_it_offers(site: Site) -> None:
    stamp = NOW.isoformat()
    until(lambda: site.api.get("/health/ready")[0] == 200, what="ready")
    site.ask("POST", "/v1/devices/meters", {"meterId": "m-1", "capacityKw": 11})
    site.ask("POST", "/v1/devices/vehicles", {"vehicleId": "v-1"})
    site.ask("PATCH", "/v1/devices/meters/m-1", {"capacityKw": 22})
    site.ask("PATCH", "/v1/devices/vehicles/v-1", {"model": "one"})
    start = (NOW - timedelta(hours=2)).isoformat()
    assigned = site.ask(
        "POST", "/v1/devices/vehicles/v-1/assignments", {"meterId": "m-1", "start": start}
    )["assignmentId"]
    site.ask("PATCH", f"/v1/devices/vehicles/v-1/assignments/{assigned}", {"end": stamp})
    session = site.ask("POST", "/v1/sessions/start", {"vehicleId": "v-1", "meterId": "m-1"})
    site.ask("POST", f"/v1/sessions/{session['sessionId']}/end", {})
    with httpx.stream("GET", f"{site.api.address}/v1/live", timeout=30) as live:
        site.ask(
            "POST",
            "/v1/telemetry/meter",
            {"meterId": "m-1", "kwhConsumedAc": 0.5, "voltage": 230, "timestamp": stamp},
        )
        assert any("m-1" in line for line in live.iter_lines())
    for path in (
        "/", "/vehicles/v-1", "/v1/analytics/fleet/performance", "/v1/analytics/anomalies",
        "/v1/analytics/performance/v-1", "/v1/analytics/meters/m-1/performance",
        "/v1/telemetry/meter/m-1/history", "/v1/telemetry/meters/current", "/v1/sessions",
    ):  # fmt: skip
        site.ask("GET", path)
    site.ask("DELETE", f"/v1/sessions/{session['sessionId']}")
    site.ask("DELETE", f"/v1/devices/vehicles/v-1/assignments/{assigned}")
    site.ask("DELETE", "/v1/devices/vehicles/v-1")
    site.ask("DELETE", "/v1/devices/meters/m-1")


def test_each_command_works_under_its_role_and_is_refused_under_less(
    site: Site, command: Command
) -> None:
    produce(site.superuser, "telemetry.meter", [(b"bad", b"{")])
    until(
        lambda: bool(query(site.superuser, f"SELECT 1 FROM dead_letter WHERE {BAD}")),
        what="a dead letter",
    )
    [(partition, offset)] = query(
        site.superuser, f"SELECT partition, record_offset FROM dead_letter WHERE {BAD}"
    )
    change(
        site.superuser,
        "INSERT INTO vehicle_current_state"
        " SELECT 'silent', now() - interval '99 d', 1, 1, 1, now() - interval '99 d'",
    )
    change(site.superuser, "GRANT UPDATE ON meter TO wattline_reader")
    hour = "--start 2026-01-01T00:00:00Z --end 2099-01-01T00:00:00Z --yes"
    denied = "permission denied"
    for words, role, lesser, line in (
        ("offsets show", READER, None, ""),
        ("offsets reset --topic telemetry.meter --to latest --yes", CONSUMER, READER, denied),
        ("partitions list", READER, None, ""),
        ("dead-letters list", READER, API, denied),
        (f"dead-letters show telemetry.meter {partition} {offset}", READER, API, denied),
        ("dead-letters export", READER, API, denied),
        ("dead-letters redrive --dry-run", READER, API, denied),
        ("dead-letters redrive --reason malformed_json", CONSUMER, READER, denied),
        ("dead-letters purge --older-than 1m --yes", CONSUMER, READER, denied),
        ("devices list --silent-for 30d", READER, None, ""),
        ("devices remove --silent-for 30d --yes", OWNER, CONSUMER, denied),
        (f"history delete --meter mtr-late {hour}", OWNER, CONSUMER, denied),
        ("schema check", OWNER, READER, "GRANT CREATE ON DATABASE"),
        ("schema roles --dry-run", READER, None, ""),
        ("schema roles", OWNER, CONSUMER, "this role may not"),
        ("schema apply", OWNER, CONSUMER, "GRANT CREATE ON DATABASE"),
    ):
        # The replica owns the partitions of its group.
        other = "another-group" if "reset" in words else site.superuser["CONSUMER_GROUP"]
        if lesser is not None:
            code, said = command(lesser, words, CONSUMER_GROUP=other)
            assert (code, line in said) == (1, True), (words, said)
        code, said = command(role, words, CONSUMER_GROUP=other)
        assert code == 0, (words, said)
    redriven = f"SELECT redriven_at IS NOT NULL FROM dead_letter WHERE record_offset = {offset}"
    assert query(site.superuser, redriven) == [(True,)]
    assert not query(site.superuser, "SELECT 1 FROM meter_history WHERE meter_id = 'mtr-late'")
    silent = "SELECT 1 FROM vehicle_current_state WHERE vehicle_id = 'silent'"
    assert not query(site.superuser, silent)
