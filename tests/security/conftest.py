"""A broker that is reached in every way: plain, by TLS, with certificates, passwords, tokens."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from deploy.local.kafka import node as kafka
from deploy.local.kafka.node import KafkaNode
from deploy.local.ports import HOST, free_port
from runtime.kafka.settings import KafkaSettings
from tests import brief_jvm, kafka_clients
from tests.authority import Authority
from tests.security.provider import CLIENT, ISSUER, SCOPE, SECRET, Provider, serving

SECONDS_TO_END = 30.0
USER, PASSWORD = "wattline", "hunter2"
PROTOCOLS = {
    "plain": "PLAINTEXT",
    "tls": "SSL",
    "mutual": "SSL",
    "sasl": "SASL_SSL",
    "brief": "SASL_SSL",
    "bare_sasl": "SASL_PLAINTEXT",
    "expired": "SSL",
    "astray": "PLAINTEXT",
}
NOWHERE = "nowhere"
"""Where `astray` sends its clients; nothing listens there."""
BRIEF_MS = 3_000
"""How long `brief` lets a client go on with the token that it showed."""

OAUTHBEARER = "org.apache.kafka.common.security.oauthbearer"

Settings = dict[str, str]


@dataclass(frozen=True)
class Secured:
    """A broker's ports by the names of PROTOCOLS; `authority` signed its certificate.

    Its users have the tokens of the provider.
    """

    ports: dict[str, int]
    authority: Authority
    other_authority: Authority
    provider: Provider

    def at(self, listener: str) -> str:
        return f"{HOST}:{self.ports[listener]}"


def plain(secured: Secured, listener: str) -> Settings:
    return {"KAFKA_BOOTSTRAP_SERVERS": secured.at(listener)}


def tls(secured: Secured, listener: str, **settings: str) -> Settings:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": secured.at(listener),
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_CAFILE": str(secured.authority.certificate),
        **settings,
    }


def sasl(secured: Secured, listener: str = "sasl", **settings: str) -> Settings:
    return tls(secured, listener) | {
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
        "KAFKA_SASL_PLAIN_USERNAME": USER,
        "KAFKA_SASL_PLAIN_PASSWORD": PASSWORD,
        **settings,
    }


def token(secured: Secured, listener: str = "sasl", **settings: str) -> Settings:
    return tls(secured, listener) | {
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
        "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": secured.provider.url,
        "KAFKA_SASL_OAUTHBEARER_CLIENT_ID": CLIENT,
        "KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": SECRET,
        "KAFKA_SASL_OAUTHBEARER_SCOPE": SCOPE,
        "KAFKA_SASL_OAUTHBEARER_CAFILE": str(secured.authority.certificate),
        **settings,
    }


def kafka_settings(settings: Settings) -> KafkaSettings:
    """Return the section that these variables make."""
    given = {name.removeprefix("KAFKA_").lower(): text for name, text in settings.items()}
    return KafkaSettings.model_validate(given)


def signed(files: tuple[Path, Path]) -> Settings:
    return {"KAFKA_SSL_CERTFILE": str(files[0]), "KAFKA_SSL_KEYFILE": str(files[1])}


@contextmanager
def provided(secured: Secured, **facts: object) -> Iterator[None]:
    """Let the provider be different for a while."""
    before = {name: getattr(secured.provider, name) for name in facts}
    vars(secured.provider).update(facts)
    try:
        yield
    finally:
        vars(secured.provider).update(before)


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority, other = Authority(folder / "ours"), Authority(folder / "theirs")
    provider = Provider(folder)
    ports = {name: free_port() for name in (*PROTOCOLS, NOWHERE)}
    controller = free_port()
    allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={provider.keys.as_uri()}"
    node = KafkaNode(
        folder=folder / "kafka",
        log=folder / "kafka.log",
        port=ports["plain"],
        controller_port=controller,
        settings=_settings(ports, controller, authority, provider),
        jvm=(*brief_jvm.options(), allowed),
    )
    process = kafka.start(node)
    try:
        with serving(provider, authority.sign("provider")):
            kafka.wait_ready(node, process)
            _add_user(node.address)
            yield Secured(ports, authority, other, provider)
    finally:
        process.send(signal.SIGKILL)
        process.wait(SECONDS_TO_END)


def _settings(
    ports: dict[str, int], controller: int, authority: Authority, provider: Provider
) -> dict[str, str]:
    addresses = ",".join(f"{name}://{HOST}:{ports[name]}" for name in PROTOCOLS)
    protocols = [f"{name}:{protocol}" for name, protocol in PROTOCOLS.items()]
    return {
        "listeners": f"{addresses},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": addresses.replace(
            f"astray://{HOST}:{ports['astray']}", f"astray://{HOST}:{ports[NOWHERE]}"
        ),
        "inter.broker.listener.name": "plain",
        "listener.security.protocol.map": ",".join([*protocols, "CONTROLLER:PLAINTEXT"]),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": _keystore(authority, "broker"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.certificate),
        "listener.name.expired.ssl.keystore.type": "PEM",
        "listener.name.expired.ssl.keystore.location": _keystore(authority, "expired", days=-1),
        "listener.name.mutual.ssl.client.auth": "required",
        **_passwords("bare_sasl", "PLAIN", "SCRAM-SHA-256"),
        **_passwords("sasl", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"),
        **_tokens("sasl", provider),
        **_passwords("brief", "OAUTHBEARER"),
        **_tokens("brief", provider),
        # Otherwise Kafka 4.1 takes the validator for clients, which checks no signature. It does
        # not look for this setting below the listener's name.
        "sasl.oauthbearer.jwt.validator.class": f"{OAUTHBEARER}.BrokerJwtValidator",
        "listener.name.brief.oauthbearer.connections.max.reauth.ms": str(BRIEF_MS),
    }


def _keystore(authority: Authority, name: str, *, days: int = 2) -> str:
    certificate, key = authority.sign(name, days=days)
    keystore = authority.folder / f"{name}.keystore.pem"
    keystore.write_text(key.read_text() + certificate.read_text())
    return str(keystore)


def _passwords(listener: str, *mechanisms: str) -> dict[str, str]:
    """Return the settings of a listener that takes these mechanisms, with the user's password."""
    prefix, modules = f"listener.name.{listener}", "org.apache.kafka.common.security"
    user = f'username="{USER}" password="{PASSWORD}" user_{USER}="{PASSWORD}"'
    login = {
        "PLAIN": f"plain.PlainLoginModule required {user}",
        "SCRAM-SHA-256": "scram.ScramLoginModule required",
        "SCRAM-SHA-512": "scram.ScramLoginModule required",
        "OAUTHBEARER": "oauthbearer.OAuthBearerLoginModule required",
    }
    return {f"{prefix}.sasl.enabled.mechanisms": ",".join(mechanisms)} | {
        f"{prefix}.{name.lower()}.sasl.jaas.config": f"{modules}.{login[name]};"
        for name in mechanisms
    }


def _tokens(listener: str, provider: Provider) -> dict[str, str]:
    prefix = f"listener.name.{listener}.oauthbearer.sasl"
    return {
        f"{prefix}.server.callback.handler.class": (
            f"{OAUTHBEARER}.OAuthBearerValidatorCallbackHandler"
        ),
        f"{prefix}.oauthbearer.jwks.endpoint.url": provider.keys.as_uri(),
        f"{prefix}.oauthbearer.expected.issuer": ISSUER,
        f"{prefix}.oauthbearer.expected.audience": "kafka",
    }


def _add_user(address: str) -> None:
    with kafka_clients.admin(address) as admin:
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            info = ScramCredentialInfo(mechanism, 4_096)
            change = UserScramCredentialUpsertion(USER, info, PASSWORD.encode())
            for done in admin.alter_user_scram_credentials([change]).values():
                done.result()
