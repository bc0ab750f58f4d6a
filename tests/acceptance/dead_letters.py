"""Dead letters as these tests write them, the command on them, and what it sends."""

import subprocess
import sys
from collections import Counter

import psycopg
from confluent_kafka import TopicPartition

from deploy.replica import PATIENCE_S, ROOT
from tests import kafka_clients
from tests.acceptance.conftest import Environment, environ
from tests.acceptance.program import Ended

MARKED = "SELECT count(*) FROM dead_letter WHERE redriven_at IS NOT NULL"


def begin(environment: Environment, *arguments: str) -> subprocess.Popen[str]:
    """Start a command on dead letters, without a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "consumer", "dead-letters", *arguments],
        cwd=ROOT,
        env=environ(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> Ended:
    """Wait for the command's end."""
    output, errors = process.communicate(timeout=PATIENCE_S)
    return Ended(process.args, process.returncode, output, errors)


def command(environment: Environment, *arguments: str) -> Ended:
    return end(begin(environment, *arguments))


def write_letters(environment: Environment, topic: str, count: int) -> None:
    """Write dead letters whose values are 1 to `count`."""
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        connection.execute(
            "INSERT INTO dead_letter SELECT %s, %s, 0, n, NULL, n::text::bytea, '[]', now(),"
            " 'malformed_json', 'detail', now() - n * interval '1 day'"
            " FROM generate_series(1, %s) AS n",
            [environment["CONSUMER_GROUP"], topic, count],
        )


def received(environment: Environment, topic: str) -> Counter[int]:
    """Return how often the topic holds each value."""
    found: Counter[int] = Counter()
    with kafka_clients.consumer(environment["KAFKA_BOOTSTRAP_SERVERS"]) as consumer:
        _, last = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=PATIENCE_S)
        consumer.assign([TopicPartition(topic, 0, 0)])
        while found.total() < last:
            # No more than there are: it would wait for them.
            messages = consumer.consume(last - found.total(), timeout=PATIENCE_S)
            found.update(int(message.value() or b"") for message in messages)
    return found
