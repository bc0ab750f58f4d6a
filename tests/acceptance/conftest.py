"""Real processes of the service on a real Kafka and a real PostgreSQL."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.stack import Addresses
from deploy.replica import PATIENCE_S, Replica
from runtime.kafka.settings import KafkaSettings
from runtime.kafka.topics import DEFAULT_PARTITIONS, create_topics
from telemetry.streams import STREAMS
from tests import kafka_clients

Environment = dict[str, str]


@pytest.fixture
def environment(servers: Addresses, database_url: str, group: str) -> Environment:
    """The settings of a group that starts at the topics' ends, with a database of its own."""
    asyncio.run(start_at_the_end(servers, database_url, group))
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
def start(environment: Environment, tmp_path: Path) -> Iterator[Callable[..., Replica]]:
    """Start replicas; whatever still runs at the end of the test is killed."""
    replicas: list[Replica] = []

    def start_one(*, under: Sequence[str] = (), **settings: str) -> Replica:
        log_file = tmp_path / f"replica-{len(replicas)}.log"
        replica = Replica(environment | settings, log_file=log_file, under=under)
        replicas.append(replica)
        return replica

    yield start_one
    for replica in replicas:
        replica.kill()


async def start_at_the_end(servers: Addresses, database_url: str, group: str) -> None:
    """Let a group begin with what is sent from now on; makes the topics where they are missing."""
    kafka = KafkaSettings(bootstrap_servers=servers.kafka_bootstrap_servers)
    await create_topics(kafka)
    partitions = [
        TopicPartition(stream.topic, number)
        for stream in STREAMS
        for number in range(DEFAULT_PARTITIONS)
    ]
    consumer = AIOKafkaConsumer(**kafka.aiokafka())
    await consumer.start()
    ends = await consumer.end_offsets(partitions)
    await consumer.stop()
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        for place, offset in ends.items():
            await connection.execute(
                "INSERT INTO ingest_offset VALUES (%s, %s, %s, %s)",
                [group, place.topic, place.partition, offset],
            )


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
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.05)


def query(environment: Environment, text: str) -> list[tuple[Any, ...]]:
    """Return what a query finds in the test's database."""
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        return connection.execute(text).fetchall()
