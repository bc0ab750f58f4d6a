"""A backlog: messages that wait in Kafka, and that one new group is to store.

The topics keep what earlier runs have left there; a backlog is what was sent between two looks at
their ends.
"""

import asyncio
import logging
import os
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

import psycopg
from aiokafka import AIOKafkaConsumer

from deploy.local.stack import Addresses
from deploy.replica import ROOT
from deploy.stored_offsets import Offsets
from runtime.kafka.settings import KafkaSettings
from runtime.kafka.topics import create_topics
from telemetry.streams import STREAMS

DEVICES = 10_000


@dataclass(frozen=True, slots=True)
class Backlog:
    """The first offset and the one after the last, by topic and partition.

    `copies` of its messages repeat a reading that another one of them has brought already.
    """

    firsts: Offsets
    ends: Offsets
    copies: int = 0

    def __len__(self) -> int:
        return sum(self.ends.values()) - sum(self.firsts.values())

    def give_to(self, group: str, onlooker: psycopg.Connection) -> None:
        """Let the group begin with the first message of it."""
        for (topic, partition), first in self.firsts.items():
            place = [group, topic, partition, first]
            onlooker.execute("INSERT INTO ingest_offset VALUES (%s, %s, %s, %s)", place)

    def left(self, group: str, onlooker: psycopg.Connection) -> int:
        """Return how many messages the group has yet to come past."""
        (passed,) = onlooker.execute(
            "SELECT sum(next_offset) FROM ingest_offset WHERE consumer_group = %s", [group]
        ).fetchall()[0]
        return sum(self.ends.values()) - int(passed)


def read_ends(addresses: Addresses) -> Offsets:
    """Return the offset after the last message of each partition; makes missing topics."""
    return asyncio.run(
        _read_ends(KafkaSettings(bootstrap_servers=addresses.kafka_bootstrap_servers))
    )


async def _read_ends(kafka: KafkaSettings) -> Offsets:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it would log every attempt
    await create_topics(kafka)
    consumer = AIOKafkaConsumer(*(stream.topic for stream in STREAMS), **kafka.aiokafka())
    await consumer.start()
    try:
        # Without a group, it has all partitions. A topic that was just made may lack a leader:
        # this waits for it.
        ends = await consumer.end_offsets(list(consumer.assignment()))
    finally:
        await consumer.stop()
    return {(place.topic, place.partition): end for place, end in ends.items()}


def preload(addresses: Addresses, messages: int, *options: str) -> Backlog:
    """Let the simulator send whole minutes of its devices, at least one: about this many messages.

    `options` are the simulator's; none that leaves readings out. Raises CalledProcessError.
    """
    minutes = minutes_of(messages)
    firsts = read_ends(addresses)
    command = ["run", "--devices", str(DEVICES), "--duration", f"{minutes}m", "--rate", "max"]
    subprocess.run(
        [sys.executable, "-m", "producer_sim", *command, *new_fleet(), *options],
        cwd=ROOT,
        env=os.environ | {"KAFKA_BOOTSTRAP_SERVERS": addresses.kafka_bootstrap_servers},
        check=True,
    )
    sent = Backlog(firsts, read_ends(addresses))
    # A reading a minute of each device, or something malformed in its place; the rest is copies.
    return replace(sent, copies=len(sent) - minutes * 2 * DEVICES)


def minutes_of(messages: int) -> int:
    """Return the minutes in which the simulator's devices send this many messages; at least one."""
    return max(1, messages // (2 * DEVICES))


def new_fleet() -> Sequence[str]:
    """Return the simulator's option for devices that no other run has."""
    return ["--fleet", uuid.uuid4().hex[:6]]
