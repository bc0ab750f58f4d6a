"""Both clients of Kafka reach a broker in every way: what one sends, the other reads."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition, conn
from aiokafka.errors import KafkaError
from pydantic import SecretStr
from structlog.testing import capture_logs

from api.figures.ends import Ends, Unanswered
from api.ingest.gateway import Gateway, Unacknowledged
from api.settings import GatewaySettings
from consumer.kafka import aiokafka_patches
from consumer.kafka.admin import consumer_of
from deploy.local.ports import HOST, free_port
from runtime.kafka.brokers import Unreachable
from runtime.kafka.settings import KafkaSettings
from runtime.kafka.tokens import TokenError, Tokens
from runtime.kafka.topics import create_topics
from runtime.settings import load
from tests import kafka_clients
from tests.security.conftest import (
    PASSWORD,
    Secured,
    Settings,
    kafka_settings,
    plain,
    provided,
    sasl,
    signed,
    tls,
    token,
)
from tests.security.provider import CLIENT, SCOPE, SECRET

TOPIC = "telemetry.meter"
PATIENCE_S = 30.0


def mutual(secured: Secured) -> Settings:
    return tls(secured, "mutual", **signed(secured.authority.sign("client")))


def encrypted(secured: Secured) -> Settings:
    files = secured.authority.sign("encrypted", password="hunter5")
    return tls(secured, "mutual", **signed(files), KAFKA_SSL_PASSWORD="hunter5")


WAYS: dict[str, Callable[[Secured], Settings]] = {
    "plain": lambda secured: plain(secured, "plain"),
    "TLS": lambda secured: tls(secured, "tls"),
    "a client's certificate": mutual,
    "a client's certificate with an encrypted key": encrypted,
    "SCRAM-SHA-256": sasl,
    "SCRAM-SHA-512": lambda secured: sasl(secured, KAFKA_SASL_MECHANISM="SCRAM-SHA-512"),
    "PLAIN": lambda secured: sasl(secured, KAFKA_SASL_MECHANISM="PLAIN"),
    "OAUTHBEARER": token,
}


@pytest.mark.parametrize("way", WAYS)
def test_what_one_client_sends_the_other_reads(secured: Secured, way: str) -> None:
    settings = kafka_settings(WAYS[way](secured))
    asyncio.run(create_topics(settings))
    value = uuid.uuid4().hex.encode()
    offset = sent(settings, value)
    assert asyncio.run(read_at(settings, offset)) == value


def sent(settings: KafkaSettings, value: bytes) -> int:
    """Send a message by librdkafka, and return its offset."""
    offsets: list[int | None] = []
    configuration = settings.librdkafka()
    with kafka_clients.producer(configuration.pop("bootstrap.servers"), configuration) as producer:
        producer.produce(
            TOPIC, value=value, partition=0, on_delivery=lambda _, one: offsets.append(one.offset())
        )
        assert producer.flush(PATIENCE_S) == 0
    [offset] = offsets
    assert offset is not None
    return offset


async def read_at(settings: KafkaSettings, offset: int) -> bytes | None:
    """Read a message by aiokafka."""
    partition = TopicPartition(TOPIC, 0)
    async with consumer_of(settings) as consumer:
        consumer.assign([partition])
        consumer.seek(partition, offset)
        records = (await consumer.getmany(partition, timeout_ms=10_000))[partition]
        value: bytes | None = records.values[0]
        return value


def refusal(settings: KafkaSettings) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        asyncio.run(create_topics(settings))
    return caught.value


def test_a_token_that_the_broker_refuses_is_named_and_not_used_again(secured: Secured) -> None:
    settings = kafka_settings(token(secured))
    with provided(secured, audience="others"):
        error = refusal(settings)
    assert error.is_refusal
    assert "KAFKA_SASL_OAUTHBEARER_…: the broker refuses the token: " in str(error)
    asyncio.run(create_topics(settings))


def test_an_endpoint_that_is_away_is_waited_for(secured: Secured) -> None:
    url = f"https://{HOST}:{free_port()}/token"
    settings = token(secured, KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL=url)
    error = refusal(kafka_settings(settings))
    assert not error.is_refusal
    assert "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL: Connection refused" in str(error)


def test_an_endpoint_that_redirects_is_not_followed(secured: Secured) -> None:
    with provided(secured, redirects_to=f"http://{HOST}:{free_port()}/"):
        error = refusal(kafka_settings(token(secured)))
    assert "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL: the endpoint answers 302" in str(error)


def test_a_token_is_shared_and_renewed_before_it_ends(secured: Secured) -> None:
    provider, now = secured.provider, 1_000.0
    tokens = Tokens(
        url=provider.url,
        client_id=CLIENT,
        secret=SecretStr(SECRET),
        scope=SCOPE,
        cafile=secured.authority.certificate,
        clock=lambda: now,
    )

    def ask() -> str:
        return asyncio.run(tokens.token())

    with provided(secured, lifetime_s=10):
        asked, first = provider.asked, ask()
        assert ask() == first
        assert provider.asked == asked + 1
        now += 8.5
        with provided(secured, secret="another"):  # what is left of the token is used
            assert ask() == first
        assert ask() != first
        now += 10.5
        with provided(secured, secret="another"), pytest.raises(TokenError, match="invalid_client"):
            ask()


@pytest.fixture
def in_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Settings], Path]:
    """Give settings by the environment, with the password in a file, which is returned."""

    def give(settings: Settings) -> Path:
        for name, text in settings.items():
            monkeypatch.setenv(name, text)
        monkeypatch.delenv("KAFKA_SASL_PLAIN_PASSWORD", raising=False)
        file = tmp_path / "password"
        file.write_text("wrong\n")
        monkeypatch.setenv("KAFKA_SASL_PLAIN_PASSWORD_FILE", str(file))
        return file

    return give


async def connects(address: str, arguments: dict[str, Any]) -> bool:
    """Return whether a connection can be made with the arguments of a client that lives on."""
    host, port = address.split(":")
    options = {name: one for name, one in arguments.items() if name != "bootstrap_servers"}
    try:
        connection = await conn.create_conn(host, int(port), **options)
    except (KafkaError, OSError):
        return False
    await connection.close()
    return True


def test_a_rotated_password_is_used_by_clients_that_run(
    secured: Secured, in_file: Callable[[Settings], Path]
) -> None:
    file = in_file(sasl(secured))
    aiokafka_patches.install()
    of_plain = load(KafkaSettings).model_copy(update={"sasl_mechanism": "PLAIN"})
    settings = load(KafkaSettings)
    clients = [settings.aiokafka(), of_plain.aiokafka()]
    for one in clients:
        assert not asyncio.run(connects(settings.bootstrap_servers, one))
    asyncio.run(answers_after(settings, lambda: file.write_text(PASSWORD)))
    for one in clients:
        assert asyncio.run(connects(settings.bootstrap_servers, one))


def test_a_renewed_certificate_is_used_by_clients_that_run(secured: Secured) -> None:
    certificate, key = secured.other_authority.sign("renewed")
    settings = kafka_settings(tls(secured, "mutual", **signed((certificate, key))))
    arguments = settings.aiokafka()
    assert not asyncio.run(connects(settings.bootstrap_servers, arguments))

    def renew() -> None:
        for ours, old in zip(secured.authority.sign("renewed"), (certificate, key), strict=True):
            old.write_bytes(ours.read_bytes())

    asyncio.run(answers_after(settings, renew))
    assert asyncio.run(connects(settings.bootstrap_servers, arguments))
    key.unlink()
    with capture_logs() as lines:  # the former one is used until there is another
        for _ in range(2):
            assert asyncio.run(connects(settings.bootstrap_servers, arguments))
    [line] = lines
    assert line["event"] == "certificate_unusable"
    assert "KAFKA_SSL_CERTFILE, KAFKA_SSL_KEYFILE" in line["error"]


async def answers_after(settings: KafkaSettings, rotate: Callable[[], object]) -> None:
    """Check that the API's clients are refused, and answer after the rotation."""
    gateway = Gateway(kafka=settings, settings=GatewaySettings(gateway_timeout_ms=10_000))
    ends = Ends(kafka=settings)
    with capture_logs() as lines:
        async with gateway.running():
            look = asyncio.create_task(ends.look())
            with pytest.raises(Unacknowledged):
                await gateway.ping()
            rotate()
            with pytest.raises(Unanswered):
                await look
            await until_done(gateway.ping, Unacknowledged)
            await until_done(ends.look, Unanswered)
        ends.close()
    events = [line["event"] for line in lines]
    assert events.count("kafka_producer_renewed") == 1
    assert events.count("kafka_available") == 1


async def until_done(ask: Callable[[], Awaitable[object]], failure: type[Exception]) -> None:
    """Ask until there is an answer; each try takes a while."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await ask()
            except failure:
                continue
            return
