"""A backlog that no replica sees before it is released, so that replicas can be ready for it.

    with held_back(addresses, lambda: preload(addresses, messages)) as held:
        held.give_to(group, onlooker)     replicas may start: each partition ends where they begin
        held.release()                    and now all of it is there

A transaction with one message in each partition is open before the backlog is sent. Replicas read
committed messages only, and so none that lies behind it; aborted, it leaves nothing to read.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from confluent_kafka import KafkaException, Producer

from benchmarks.backlog import Backlog, read_ends
from deploy.local.stack import Addresses
from deploy.stored_offsets import Offsets

TIMEOUT_S = 60.0
LONGEST_MS = 900_000
"""Kafka aborts it after so long, by default the longest that it allows: a quarter of an hour."""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """What was sent, and the offsets of the transaction's messages before it."""

    backlog: Backlog
    before: Offsets
    release: Callable[[], None]

    def give_to(self, group: str, onlooker: psycopg.Connection) -> None:
        """Let the group begin at the offset at which, for now, each partition ends."""
        Backlog(self.before, self.backlog.ends).give_to(group, onlooker)


@contextmanager
def held_back(addresses: Addresses, send: Callable[[], Backlog]) -> Iterator[HeldBack]:
    """Let the backlog be sent, and lend it; released at the latest when it is given back.

    Raises KafkaException.
    """
    before = read_ends(addresses)
    producer = Producer(
        {
            "bootstrap.servers": addresses.kafka_bootstrap_servers,
            "transactional.id": f"bench-{uuid.uuid4().hex[:8]}",
            "transaction.timeout.ms": LONGEST_MS,
            "log_level": 3,  # syslog's: errors only, and not that it tries something again
        }
    )
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    is_held = True

    def release() -> None:
        nonlocal is_held
        if is_held:
            is_held = False
            producer.abort_transaction(TIMEOUT_S)

    try:
        for topic, partition in before:
            producer.produce(topic, b"held back", partition=partition)
        if producer.flush(TIMEOUT_S):
            raise KafkaException("the broker did not take the transaction")
        yield HeldBack(send(), before, release)
    finally:
        release()
