"""Every program works over TLS with Kafka and PostgreSQL, and goes on when a secret is rotated."""

import json
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from deploy.replica import Replica
from tests import kafka_clients
from tests.acceptance.conftest import Environment, until
from tests.acceptance.program import Ended, run
from tests.at_the_end import start_at_the_end
from tests.authority import Authority
from tests.security import postgres
from tests.security.conftest import Secured, Settings, provided, signed, tls, token
from tests.security.postgres import CLIENT, ROTATED, Postgres

KEY = "the-key-of-this-test"
TOKEN_LASTS_S = 5
FIRST_TOKENS = 6  # of the consumer's, the API's and the simulator's clients
STOPS_WITHIN_S = 15.0

Start = Callable[..., Replica]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    authority = Authority(tmp_path_factory.mktemp("database") / "authority")
    with postgres.serving(authority) as server:
        certificate, key = authority.sign(CLIENT)
        url = server.url(CLIENT, sslcert=certificate, sslkey=key)
        done = run({"DATABASE_URL": url}, "consumer", "schema", "apply")
        assert done.returncode == 0, done.stderr
        yield server


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program; what still runs at the end is killed."""
    programs: list[Replica] = []

    def start_one(environment: Environment, program: str) -> Replica:
        log = tmp_path / f"{program}.log"
        programs.append(Replica(environment, log_file=log, command=("-m", program, "run")))
        return programs[-1]

    yield start_one
    for one in programs:
        one.kill()


def with_tokens(secured: Secured, database: Postgres, _: Path) -> Settings:
    certificate, key = database.authority.sign(CLIENT)
    url = database.url(CLIENT, sslcert=certificate, sslkey=key)
    return token(secured, "brief") | {"DATABASE_URL": url, "API_KEYS": digest(), "API_KEY": KEY}


def with_files(secured: Secured, database: Postgres, folder: Path) -> Settings:
    files = secured.authority.sign("program", password="hunter5")
    secrets = {
        "DATABASE_URL": database.url(ROTATED),
        "KAFKA_SSL_PASSWORD": "hunter5",
        "API_KEYS": digest(),
        "API_KEY": KEY,
    }
    for name, secret in secrets.items():
        (folder / name).write_text(f"{secret}\n")
    named = {f"{name}_FILE": str(folder / name) for name in secrets}
    return tls(secured, "mutual", **signed(files)) | named


def digest() -> str:
    return sha256(KEY.encode()).hexdigest()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("make", [with_tokens, with_files])
def test_all_programs_work_and_what_they_send_is_stored(
    *,
    secured: Secured,
    database: Postgres,
    start: Start,
    tmp_path: Path,
    group: str,
    make: Callable[[Secured, Postgres, Path], Settings],
) -> None:
    environment = {"CONSUMER_GROUP": group, **make(secured, database, tmp_path)}
    start_at_the_end(secured.at("plain"), database.url(postgres.OWNER), group)
    ledger, asked = tmp_path / "ledger", secured.provider.asked
    sends_for = TOKEN_LASTS_S + 2 if make is with_tokens else 1
    fleet = ["--devices", "20", "--interval", "1", "--duration", f"{sends_for}s", "--quiet"]
    with provided(secured, lifetime_s=TOKEN_LASTS_S):
        replica, api = start(environment, "consumer"), start(environment, "api")
        sent = run(environment, "producer_sim", "run", *fleet, "--ledger", str(ledger))
    assert sent.returncode == 0, sent.stderr
    if make is with_tokens:
        assert secured.provider.asked > asked + FIRST_TOKENS
    verified = run(environment, "producer_sim", "verify", str(ledger))
    assert verified.returncode == 0, verified.stdout

    comes_through(api, database)
    if make is with_files:
        rotate(environment, database)
        comes_through(api, database)
    with kafka_clients.producer(secured.at("plain")) as producer:
        producer.produce("telemetry.meter", b"no reading")
    letters = "SELECT count(*) FROM dead_letter WHERE consumer_group = %s"
    until(lambda: database.ask(letters, group) == [(1,)], what="the dead letter is there")
    for command, said in (
        ("offsets show", "telemetry.meter"),
        ("dead-letters redrive", "sent 1"),
        ("schema check", "as it should be"),
    ):
        done = run(environment, "consumer", *command.split())
        assert done.returncode == 0, done.stderr
        assert said in done.stdout

    # The API's client shows tokens that last seconds too soon one after the other.
    assert replica.events("kafka_unavailable") == []
    for one in (replica, api):
        begun = time.monotonic()
        assert one.stop() == 0
        assert time.monotonic() - begun < STOPS_WITHIN_S
        assert "hunter" not in one.log_file.read_text()


def comes_through(api: Replica, database: Postgres) -> None:
    """Send a reading through the API, and see it stored, and answered."""
    meter = f"mtr-{uuid.uuid4().hex[:8]}"
    reading = {"meterId": meter, "kwhConsumedAc": 1.5, "voltage": 230.0}
    reading["timestamp"] = datetime.now(UTC).isoformat()
    until(lambda: ask(api, "/v1/telemetry/meter", reading) == 202, what="the API takes a reading")
    stored = "SELECT 1 FROM meter_history WHERE meter_id = %s"
    until(lambda: database.ask(stored, meter) == [(1,)], what="the reading is stored")
    until(
        lambda: ask(api, f"/v1/devices/meters/{meter}/state") == 200, what="the reading is answered"
    )


def ask(api: Replica, path: str, body: object = None) -> int:
    """Return the status of the API's answer."""
    request = urllib.request.Request(  # noqa: S310  ours
        api.address + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  ours
            status: int = answer.status
    except urllib.error.HTTPError as error:
        with error:
            status = error.code
    return status


def rotate(environment: Environment, database: Postgres) -> None:
    """Change the password of the database, and end the sessions that have shown the former one."""
    new = f"hunter{uuid.uuid4().hex}"
    database.ask(f"ALTER ROLE {ROTATED} PASSWORD '{new}'")
    Path(environment["DATABASE_URL_FILE"]).write_text(database.url(ROTATED, password=new))
    database.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", ROTATED
    )


@pytest.mark.timeout(180)
def test_a_database_whose_certificate_is_refused_is_waited_for(
    secured: Secured, database: Postgres, start: Start, group: str, tmp_path: Path
) -> None:
    environment = {"CONSUMER_GROUP": group, **with_tokens(secured, database, tmp_path)}
    with database.presenting(database.authority.sign("late", days=-1)):
        replica, api = start(environment, "consumer"), start(environment, "api")
        assert "certificate has expired" in refused(environment).stderr
        for one in (replica, api):
            assert "certificate has expired" in one.wait_for("database_unavailable")["error"]
            assert one.get("/health/live")[0] == 200
            assert one.get("/health/ready")[0] == 503
    for one in (replica, api):
        one.wait_for("database_available")
        until(lambda: one.get("/health/ready")[0] == 200, what="it is ready")  # noqa: B023  at once
        assert len(one.events("database_unavailable")) == 1


def test_a_database_of_another_name_or_authority_is_refused_in_one_line(
    secured: Secured, database: Postgres
) -> None:
    other = secured.authority.certificate
    for url, said in (
        (database.url(ROTATED, host="localhost"), 'does not match host name "localhost"'),
        (
            database.url(ROTATED, sslrootcert=other),
            "certificate verify failed: self-signed certificate",
        ),
        (database.url(CLIENT), "client certificate"),
    ):
        assert said in refused({"DATABASE_URL": url}).stderr


def refused(environment: Environment) -> Ended:
    """Return how a command ended that PostgreSQL was to be asked by."""
    ended = run(environment, "consumer", "schema", "check")
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "hunter" not in ended.stderr
    return ended
