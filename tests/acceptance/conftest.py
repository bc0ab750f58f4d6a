"""Real processes of the service on a real Kafka and a real PostgreSQL."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.local.stack import Addresses
from deploy.replica import PATIENCE_S, Replica
from tests import kafka_clients
from tests.at_the_end import start_at_the_end

Environment = dict[str, str]
Start = Callable[..., Replica]
API_KEY = "the-key-of-this-test"


@pytest.fixture
def environment(servers: Addresses, database_url: str, group: str) -> Environment:
    """The settings of a group that starts at the topics' ends, with a database of its own."""
    start_at_the_end(servers.kafka_bootstrap_servers, database_url, group)
    return {
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
        "DATABASE_URL": database_url,
        "CONSUMER_GROUP": group,
        # A killed replica is missed sooner than by default.
        "KAFKA_SESSION_TIMEOUT_MS": "6000",
        "KAFKA_HEARTBEAT_INTERVAL_MS": "300",
        "LAG_INTERVAL_S": "0.2",
    }


@pytest.fixture
def own_environment(servers: Addresses, database_url: str, group: str) -> Environment:
    """The settings of a group whose letters come from a topic that no other test reads."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
        "DATABASE_URL": database_url,
        "CONSUMER_GROUP": group,
    }


@pytest.fixture
def api(environment: Environment, tmp_path: Path) -> Iterator[Replica]:
    """The API as a process of its own, on the test's servers, for those who have the key."""
    settings = environment | {"API_KEYS": sha256(API_KEY.encode()).hexdigest()}
    served = Replica(settings, log_file=tmp_path / "api.log", command=("-m", "api", "run"))
    yield served
    served.kill()


@pytest.fixture
def start(environment: Environment, tmp_path: Path) -> Iterator[Start]:
    """Start replicas; whatever still runs at the end of the test is killed."""
    replicas: list[Replica] = []

    def start_one(
        *,
        command: Sequence[str] = ("-m", "consumer", "run"),
        under: Sequence[str] = (),
        **settings: str,
    ) -> Replica:
        log_file = tmp_path / f"replica-{len(replicas)}.log"
        replica = Replica(environment | settings, log_file=log_file, command=command, under=under)
        replicas.append(replica)
        return replica

    yield start_one
    for replica in replicas:
        replica.kill()


def environ(environment: Environment) -> Environment:
    """Return the whole environment of a process that is to use the test's servers."""
    return {**os.environ, **environment}


def produce(
    environment: Environment, topic: str, messages: Iterable[tuple[bytes | None, bytes | None]]
) -> None:
    """Send (key, value) pairs and return when the broker has them all."""
    with kafka_clients.producer(environment["KAFKA_BOOTSTRAP_SERVERS"]) as producer:
        for key, value in messages:
            producer.produce(topic, key=key, value=value)
        assert producer.flush(PATIENCE_S) == 0


def until(condition: Callable[[], bool], *, what: str) -> None:
    """Return once the state of another process is as wanted."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in time: {what}"
        time.sleep(0.05)


def query(environment: Environment, text: str) -> list[tuple[Any, ...]]:
    """Return what a query finds in the test's database."""
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        return connection.execute(text).fetchall()
