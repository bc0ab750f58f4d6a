"""Real processes of the service on a real Kafka and a real PostgreSQL."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Producer

from deploy.local.stack import Addresses
from telemetry.settings import KafkaSettings
from telemetry.streams import STREAMS
from telemetry.topics import DEFAULT_PARTITIONS, create_topics

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0

Environment = dict[str, str]


class Replica:
    """A running consumer: its log, its pages, its end."""

    def __init__(self, environment: Environment) -> None:
        self.log: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "consumer", "run"],
            cwd=ROOT,
            env=os.environ | environment | {"HTTP_PORT": "0"},
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                with self._news:
                    self.log.append(json.loads(line) if line.startswith("{") else {"event": line})
                    self._news.notify_all()

    def wait_for(self, event: str, *, times: int = 1) -> dict[str, Any]:
        """Return the log line of the event, once it has come this often."""

        def came() -> bool:
            return len(self.events(event)) >= times or self.process.poll() is not None

        with self._news:
            assert self._news.wait_for(came, PATIENCE_S), f"no {event} in {self.log}"
        assert len(self.events(event)) >= times, f"ended without {event}: {self.log}"
        return self.events(event)[times - 1]

    def events(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log if line["event"] == event]

    def get(self, path: str) -> tuple[int, str]:
        """Return the status and the text of one of the replica's pages."""
        port = self.wait_for("http_listening")["port"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, series: str) -> float:
        """Return the value of a series, given as in the exposition."""
        _, page = self.get("/metrics")
        values = [line.rsplit(" ", 1)[1] for line in page.splitlines() if line.startswith(series)]
        return sum(map(float, values))

    def stop(self) -> int:
        """Ask it to end and return its exit code."""
        self.process.terminate()
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(timeout=PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code


@pytest.fixture
def environment(servers: Addresses, database_url: str, group: str) -> Environment:
    """The settings of a group that starts at the topics' ends, with a database of its own."""
    asyncio.run(_start_at_the_end(servers, database_url, group))
    return {
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
        "DATABASE_URL": database_url,
        "CONSUMER_GROUP": group,
        # A killed replica is missed sooner than by default.
        "KAFKA_SESSION_TIMEOUT_MS": "6000",
        "KAFKA_HEARTBEAT_INTERVAL_MS": "1000",
        "LAG_INTERVAL_S": "0.5",
    }


@pytest.fixture
def start(environment: Environment) -> Iterator[Callable[..., Replica]]:
    """Start replicas; whatever still runs at the end of the test is killed."""
    replicas = []

    def start_one(**settings: str) -> Replica:
        replica = Replica(environment | settings)
        replicas.append(replica)
        return replica

    yield start_one
    for replica in replicas:
        replica.process.kill()
        replica.wait()


async def _start_at_the_end(servers: Addresses, database_url: str, group: str) -> None:
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


def produce(
    environment: Environment, topic: str, messages: Iterable[tuple[bytes | None, bytes | None]]
) -> None:
    """Send (key, value) pairs and return when the broker has them all."""
    producer = Producer(
        {"bootstrap.servers": environment["KAFKA_BOOTSTRAP_SERVERS"], "acks": "all"}
    )
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
