"""librdkafka's clients for tests: they end with their block, and print nothing themselves.

A client that is left open keeps looking for its broker after the test has stopped it, and logs that
once a second. What clients log is shown with a test that fails.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

PATIENCE_S = 60.0
_LOG = logging.getLogger("tests.librdkafka")
_THREADS = Path("/proc/self/task")


def producer(bootstrap_servers: str, settings: Mapping[str, Any] | None = None) -> Producer:
    """Return a producer, to be used in a `with`: its end waits for what has no report yet."""
    own = {"acks": "all", "message.timeout.ms": round(PATIENCE_S * 1_000)}
    return Producer(
        {"bootstrap.servers": bootstrap_servers, **own, **(settings or {})}, logger=_LOG
    )


def consumer(bootstrap_servers: str) -> Consumer:
    """Return a consumer that commits nothing, to be used in a `with`."""
    own = {"group.id": "none", "enable.auto.commit": False}
    return Consumer({"bootstrap.servers": bootstrap_servers, **own}, logger=_LOG)


def create_topic(
    bootstrap_servers: str, name: str, config: Mapping[str, str] | None = None
) -> None:
    """Make a topic of one partition, with one replica."""
    topic = NewTopic(name, 1, 1, config=dict(config or {}))
    with admin(bootstrap_servers) as client:
        client.create_topics([topic])[name].result(PATIENCE_S)


def delete_topic(bootstrap_servers: str, name: str) -> None:
    with admin(bootstrap_servers) as client:
        client.delete_topics([name])[name].result(PATIENCE_S)


def left_open() -> list[str]:
    """Return the names of librdkafka's threads in this process; none without /proc."""
    if not _THREADS.is_dir():
        return []
    names = [(task / "comm").read_text().strip() for task in _THREADS.iterdir()]
    return [name for name in names if name.startswith("rdk:")]


def admin(bootstrap_servers: str) -> AdminClient:
    """Return a client for topics, settings and users, to be used in a `with`."""
    return AdminClient({"bootstrap.servers": bootstrap_servers}, logger=_LOG)
