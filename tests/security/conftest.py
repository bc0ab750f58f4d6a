"""A broker that is reached in every way: plain, by TLS, with certificates, with passwords."""

import signal
import subprocess
from collections.abc import Iterator
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
from tests import brief_jvm, kafka_clients
from tests.needed import program

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
# Of elliptic curves: one for RSA takes a quarter of a second to make.
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
NOWHERE = "nowhere"
"""Where `astray` sends its clients; nothing listens there."""


class Authority:
    """A certificate authority of the test's own, and the certificates that it has signed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        self._serial = 0
        self._openssl(
            "req", "-x509", *NEW_KEY, "-nodes", "-days", "2", "-subj", "/CN=test CA",
            "-keyout", str(self._key), "-out", str(self.certificate),
        )  # fmt: skip

    def sign(self, name: str, *, host: str = HOST) -> tuple[Path, Path]:
        """Return the files of a new certificate and of its key."""
        certificate, key, asked = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        self._serial += 1
        names = self.folder / f"{name}.names"
        names.write_text(f"subjectAltName=IP:{host}\n")
        self._openssl(
            "req", *NEW_KEY, "-nodes", "-subj", f"/CN={name}",
            "-keyout", str(key), "-out", str(asked),
        )  # fmt: skip
        self._openssl(
            "x509", "-req", "-in", str(asked), "-days", "2", "-CA", str(self.certificate),
            "-CAkey", str(self._key), "-set_serial", str(self._serial), "-extfile", str(names),
            "-out", str(certificate),
        )  # fmt: skip
        return certificate, key

    @staticmethod
    def _openssl(*arguments: str) -> None:
        openssl = program("openssl", package="openssl")
        subprocess.run([openssl, *arguments], check=True, capture_output=True)


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
