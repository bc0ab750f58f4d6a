"""A broker that is reached in every way: plain, by TLS, with certificates, with passwords."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from confluent_kafka.admin import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from deploy.local.kafka import node as kafka
from deploy.local.kafka.node import KafkaNode
from deploy.local.ports import HOST, free_port
from tests import brief_jvm, kafka_clients
from tests.authority import Authority

SECONDS_TO_END = 30.0
USER, PASSWORD = "wattline", "hunter2"
PROTOCOLS = {
    "plain": "PLAINTEXT",
    "tls": "SSL",
    "mutual": "SSL",
    "sasl": "SASL_SSL",
    "bare_sasl": "SASL_PLAINTEXT",
    "astray": "PLAINTEXT",
}
NOWHERE = "nowhere"
"""Where `astray` sends its clients; nothing listens there."""


@dataclass(frozen=True)
class Secured:
    """A broker's ports by the names of PROTOCOLS; `authority` signed its certificate."""

    ports: dict[str, int]
    authority: Authority
    other_authority: Authority

    def at(self, listener: str) -> str:
        return f"{HOST}:{self.ports[listener]}"


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority, other = Authority(folder / "ours"), Authority(folder / "theirs")
    ports = {name: free_port() for name in (*PROTOCOLS, NOWHERE)}
    controller = free_port()
    node = KafkaNode(
        folder=folder / "kafka",
        log=folder / "kafka.log",
        port=ports["plain"],
        controller_port=controller,
        settings=_settings(ports, controller, authority),
        jvm=brief_jvm.options(),
    )
    process = kafka.start(node)
    try:
        kafka.wait_ready(node, process)
        _add_user(node.address)
        yield Secured(ports, authority, other)
    finally:
        process.send(signal.SIGKILL)
        process.wait(SECONDS_TO_END)


def _settings(ports: dict[str, int], controller: int, authority: Authority) -> dict[str, str]:
    certificate, key = authority.sign("broker")
    keystore = authority.folder / "broker.keystore.pem"
    keystore.write_text(key.read_text() + certificate.read_text())
    addresses = ",".join(f"{name}://{HOST}:{ports[name]}" for name in PROTOCOLS)
    protocols = [f"{name}:{protocol}" for name, protocol in PROTOCOLS.items()]
    modules = "org.apache.kafka.common.security"
    passwords = f'username="{USER}" password="{PASSWORD}" user_{USER}="{PASSWORD}"'
    sasl: dict[str, str] = {}
    for name in ("sasl", "bare_sasl"):
        prefix = f"listener.name.{name}"
        sasl |= {
            f"{prefix}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
            f"{prefix}.plain.sasl.jaas.config": f"{modules}.plain.PlainLoginModule required"
            f" {passwords};",
            f"{prefix}.scram-sha-256.sasl.jaas.config": f"{modules}.scram.ScramLoginModule"
            " required;",
        }
    return {
        "listeners": f"{addresses},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": addresses.replace(
            f"astray://{HOST}:{ports['astray']}", f"astray://{HOST}:{ports[NOWHERE]}"
        ),
        "inter.broker.listener.name": "plain",
        "listener.security.protocol.map": ",".join([*protocols, "CONTROLLER:PLAINTEXT"]),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.certificate),
        "listener.name.mutual.ssl.client.auth": "required",
        **sasl,
    }


def _add_user(address: str) -> None:
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4_096)
    change = UserScramCredentialUpsertion(USER, info, PASSWORD.encode())
    with kafka_clients.admin(address) as admin:
        for done in admin.alter_user_scram_credentials([change]).values():
            done.result()
