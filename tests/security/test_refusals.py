"""Every program names the setting that keeps it from the broker, not just "unable to bootstrap"."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.ports import HOST, free_port
from deploy.replica import ROOT, Replica
from runtime.kafka.brokers import Availability, Unreachable
from runtime.kafka.settings import KafkaSettings
from runtime.kafka.topics import create_topics
from tests.acceptance.conftest import Environment, environ
from tests.acceptance.program import run
from tests.api.process import Process
from tests.security.conftest import (
    Secured,
    Settings,
    kafka_settings,
    plain,
    sasl,
    signed,
    tls,
    token,
)

CREDENTIALS = "KAFKA_SASL_OAUTHBEARER_CLIENT_ID, KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET"
WRONG_PASSWORD = {"KAFKA_SASL_PLAIN_PASSWORD": "wrong"}


REFUSED: dict[str, tuple[Callable[[Secured], Settings], str]] = {
    "a wrong password": (
        lambda secured: sasl(secured, **WRONG_PASSWORD),
        "KAFKA_SASL_PLAIN_USERNAME, KAFKA_SASL_PLAIN_PASSWORD: refused",
    ),
    "a wrong password, PLAIN": (
        lambda secured: sasl(secured, KAFKA_SASL_MECHANISM="PLAIN", **WRONG_PASSWORD),
        "KAFKA_SASL_PLAIN_USERNAME, KAFKA_SASL_PLAIN_PASSWORD: refused",
    ),
    "another mechanism": (
        lambda secured: sasl(
            secured,
            "bare_sasl",
            KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT",
            KAFKA_SASL_MECHANISM="SCRAM-SHA-512",
        ),
        "KAFKA_SASL_MECHANISM: the broker does not take SCRAM-SHA-512",
    ),
    "a wrong CA": (
        lambda secured: tls(
            secured, "tls", KAFKA_SSL_CAFILE=str(secured.other_authority.certificate)
        ),
        "KAFKA_SSL_CAFILE: the broker's certificate is not trusted",
    ),
    "another host's certificate": (
        lambda secured: tls(
            secured, "tls", KAFKA_BOOTSTRAP_SERVERS=f"localhost:{secured.ports['tls']}"
        ),
        "KAFKA_SSL_CAFILE: the broker's certificate is refused: Hostname mismatch",
    ),
    "an expired certificate": (
        lambda secured: tls(secured, "expired"),
        "KAFKA_SSL_CAFILE: the broker's certificate is refused: certificate has expired",
    ),
    "a wrong secret": (
        lambda secured: token(secured, KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET="wrong"),
        f"{CREDENTIALS}: refused by the token endpoint: 401 invalid_client",
    ),
    "a wrong scope": (
        lambda secured: token(secured, KAFKA_SASL_OAUTHBEARER_SCOPE="other"),
        f"{CREDENTIALS}: refused by the token endpoint: 400 invalid_request",
    ),
    "a wrong CA of the token endpoint": (
        lambda secured: token(
            secured,
            KAFKA_SASL_OAUTHBEARER_CAFILE=str(secured.other_authority.certificate),
        ),
        "KAFKA_SASL_OAUTHBEARER_CAFILE: the token endpoint's certificate is refused",
    ),
    "no client's certificate": (
        lambda secured: tls(secured, "mutual"),
        "KAFKA_SSL_CERTFILE: the broker wants a client's certificate",
    ),
    "a client's certificate of another CA": (
        lambda secured: tls(secured, "mutual", **signed(secured.other_authority.sign("client"))),
        "KAFKA_SSL_CERTFILE: the broker refuses the client's certificate",
    ),
    "plain text to a TLS port": (
        lambda secured: plain(secured, "tls"),
        "KAFKA_SECURITY_PROTOCOL is PLAINTEXT, and the port speaks TLS",
    ),
    "TLS to a plain port": (
        lambda secured: tls(secured, "plain"),
        "KAFKA_SECURITY_PROTOCOL is SSL, and the port does not speak TLS",
    ),
    "no password": (
        lambda secured: plain(secured, "bare_sasl"),
        "KAFKA_SECURITY_PROTOCOL is PLAINTEXT, and the port ends the connection, as one that wants",
    ),
    "no password, over TLS": (
        lambda secured: tls(secured, "sasl"),
        "KAFKA_SECURITY_PROTOCOL is SSL, and the port ends the connection",
    ),
    "a password to a port that takes none": (
        lambda secured: sasl(secured, "tls"),
        "KAFKA_SECURITY_PROTOCOL is SASL_SSL, and the port takes no passwords",
    ),
    "passwords in plain text to a TLS port": (
        lambda secured: sasl(secured, KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT"),
        "KAFKA_SECURITY_PROTOCOL is SASL_PLAINTEXT, and the port speaks TLS",
    ),
}
# One for each setting that can be at fault: those a whole program is started for.
PROGRAMS = [
    "a wrong password",
    "a wrong CA",
    "a wrong secret",
    "no client's certificate",
    "plain text to a TLS port",
]


def unreachable(settings: KafkaSettings) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        asyncio.run(create_topics(settings))
    return caught.value


@pytest.mark.parametrize("name", REFUSED)
def test_the_cause_of_a_refusal_is_named(secured: Secured, name: str) -> None:
    make, said = REFUSED[name]
    settings = make(secured)
    error = unreachable(kafka_settings(settings))
    assert error.is_refusal
    assert str(error).startswith(f"{settings['KAFKA_BOOTSTRAP_SERVERS']}: {said}")
    assert str(error).splitlines() == [str(error)]
    assert "hunter2" not in str(error)
    assert "wrong" not in str(error)


def test_a_server_that_is_away_is_not_a_refusal_and_its_cause_is_named(secured: Secured) -> None:
    nobody = f"{HOST}:{free_port()}"
    error = unreachable(KafkaSettings(bootstrap_servers=f"{nobody},no.such.host.invalid:9092"))
    assert not error.is_refusal
    assert f"{nobody}: Connection refused" in str(error)
    assert "no.such.host.invalid:9092: " in str(error)
    assert "bootstrap" not in str(error)


def test_a_refusal_is_named_before_a_server_that_is_away(secured: Secured) -> None:
    servers = f"{HOST}:{free_port()},{secured.at('tls')}"
    error = unreachable(KafkaSettings(bootstrap_servers=servers))
    assert str(error).startswith(f"{secured.at('tls')}: KAFKA_SECURITY_PROTOCOL")


def test_an_advertised_address_that_cannot_be_reached_is_named(secured: Secured) -> None:
    error = unreachable(KafkaSettings(bootstrap_servers=secured.at("astray")))
    port = secured.ports["nowhere"]
    assert str(error) == f"advertised by the brokers: {HOST}:{port}: Connection refused"


def test_a_lasting_state_is_reported_once_and_another_refusal_again() -> None:
    brokers = Availability()
    away = Unreachable("away", is_refusal=False)
    password = Unreachable("password", is_refusal=True)
    certificate = Unreachable("certificate", is_refusal=True)
    steps = [away, away, password, away, password, certificate]
    assert [brokers.missed(one) for one in steps] == [True, False, True, False, False, True]
    assert [brokers.found(), brokers.found()] == [True, False]
    assert brokers.missed(certificate)


@pytest.fixture
def environment(database_url: str, group: str) -> Environment:
    return {"DATABASE_URL": database_url, "CONSUMER_GROUP": group}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_service_logs_the_refusal_and_waits(
    secured: Secured, environment: Environment, tmp_path: Path, name: str
) -> None:
    make, said = REFUSED[name]
    replica = Replica(environment | make(secured), log_file=tmp_path / "replica.log")
    try:
        assert said in replica.wait_for("kafka_unavailable")["error"]
        assert replica.get("/health/live")[0] == 200
        assert replica.get("/health/ready")[0] == 503
        assert replica.metric("telemetry_kafka_available") == 0
        assert len(replica.events("kafka_unavailable")) == 1
        assert replica.stop() == 0
    finally:
        replica.kill()


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_api_logs_the_refusal_and_waits(
    secured: Secured, environment: Environment, tmp_path: Path, name: str
) -> None:
    make, said = REFUSED[name]
    with Process(environment | make(secured), log_file=tmp_path / "api.log") as api:
        first = api.wait_for("kafka_unavailable")
        assert said in first["error"] or said in api.wait_for("kafka_unavailable", times=2)["error"]
        assert api.get("/health/live")[0] == 200
        assert api.stop() == 0


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_simulator_prints_the_refusal_and_waits(
    secured: Secured, tmp_path: Path, name: str
) -> None:
    make, said = REFUSED[name]
    simulator = subprocess.Popen(
        [sys.executable, "-m", "producer_sim", "run", "--duration", "1s", "--no-ledger"],
        cwd=ROOT,
        env=environ(make(secured)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert simulator.stderr is not None
    with simulator:
        line = simulator.stderr.readline()
        simulator.terminate()
    assert said in " ".join(line.split())


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("offsets show", 0),
        ("offsets reset --topic telemetry.meter --to earliest --yes", 1),
        ("dead-letters redrive", 1),
    ],
)
def test_commands_print_the_refusal_in_one_line(
    secured: Secured, environment: Environment, name: str, command: str, code: int
) -> None:
    make, said = REFUSED[name]
    ended = run(environment | make(secured), "consumer", *command.split())
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr
    [line] = [line for line in ended.stderr.splitlines() if "CONSUMER_GROUP" not in line]
    assert said in line


@pytest.mark.parametrize("program", ["consumer run", "api run", "consumer offsets show"])
@pytest.mark.parametrize("setting", ["KAFKA_SSL_CAFILE", "KAFKA_SSL_KEYFILE"])
def test_a_file_that_cannot_be_used_is_one_line_and_exit_code_2(
    secured: Secured, environment: Environment, tmp_path: Path, program: str, setting: str
) -> None:
    unusable = tmp_path / "unusable.pem"
    unusable.write_text("neither a certificate nor a key")
    settings = tls(secured, "mutual", **signed(secured.authority.sign("client")))
    ended = run(environment | settings | {setting: str(unusable)}, *program.split())
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert setting in line
