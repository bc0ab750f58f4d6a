"""If another program takes a port after we have looked, the server starts on another one."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import ports, startup
from deploy.local.kafka import node as kafka
from deploy.local.postgres import server as postgres
from deploy.local.postgres.unprivileged import remove_data
from deploy.local.progress import Silence
from deploy.local.stack import Addresses
from deploy.local.startup import Startup, kafka_process, postgres_process
from deploy.local.state import read
from tests import brief_jvm


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A stack of the test's own; all that it has started is stopped at the end."""
    yield tmp_path
    state = read(tmp_path)
    assert state is not None
    if process := kafka_process(tmp_path, state.kafka):
        kafka.stop(process)
    if process := postgres_process(tmp_path, state.postgres):
        postgres.stop(process)
    remove_data(tmp_path / "postgres")


def look_free_once(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this port look free at the first look."""
    looked = iter([port])

    def free_port(*, preferred: int | None, taken: frozenset[int]) -> int:
        return next(looked, None) or ports.free_port(preferred=preferred, taken=taken)

    monkeypatch.setattr(startup, "free_port", free_port)


def test_postgres_starts_on_another_port(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((ports.HOST, 0)) as other:
        lost = other.getsockname()[1]
        look_free_once(lost, monkeypatch)
        address = Startup(folder=folder, progress=Silence()).postgres()
    assert f":{lost}/" not in address
    state = read(folder)
    assert state is not None
    assert state.postgres is not None
    assert state.postgres.address == address


def test_kafka_starts_on_another_port_and_does_not_take_a_stranger_for_itself(
    folder: Path, servers: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program that answers at the lost port is a Kafka, too."""
    host, _, port = servers.kafka_bootstrap_servers.rpartition(":")
    if host not in (ports.HOST, "localhost"):
        pytest.skip("the tests' Kafka is not on this machine")
    look_free_once(int(port), monkeypatch)
    address = Startup(folder=folder, progress=Silence(), jvm=brief_jvm.options()).kafka()
    assert address.rpartition(":")[2] != port
