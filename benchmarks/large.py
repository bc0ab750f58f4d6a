"""Backlogs of large messages, and of batches that hold as much as may be unpacked.

A message is a valid reading with a long unknown field.
"""

import asyncio
import json
import time
import uuid

from aiokafka import AIOKafkaProducer
from confluent_kafka import KafkaException, Producer

from benchmarks.backlog import Backlog, read_ends
from deploy.local.stack import Addresses
from runtime.kafka.settings import KafkaSettings
from telemetry.streams import BY_TOPIC, STREAMS, Stream
from telemetry.timestamps import SECOND_US, format_timestamp
from tests.record_batches import Sent, send_batch

VALUE_BYTES = 60 * 1_024
DEVICES = 1_000
ZSTD = 4  # Kafka's number of it
RECORD_BYTES = 100  # what a record takes in a batch beside its value, at most
_ROOM_S = 0.1


def preload_large(
    addresses: Addresses, messages: int, *, compression: str, valid: bool = True
) -> Backlog:
    """Send this many values of 60 KiB, to both topics in turn; invalid ones are cut off.

    The padding is one letter over and over: a compressed batch of up to 1 MB then takes a few KB
    on the wire, about as little as can be. Raises KafkaException.
    """
    firsts = read_ends(addresses)
    producer = Producer(
        {
            "bootstrap.servers": addresses.kafka_bootstrap_servers,
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": compression,
            "linger.ms": 20,
            "queue.buffering.max.kbytes": 65_536,
        }
    )
    name, begins = uuid.uuid4().hex[:6], time.time_ns() // 1_000
    for number in range(messages):
        stream = STREAMS[number % len(STREAMS)]
        device = f"large-{name}-{number % DEVICES:05}"
        value = _value(stream, device, begins - number // DEVICES * SECOND_US)
        _send(producer, stream.topic, device, value if valid else value[:-1])
    if producer.flush(60):
        raise KafkaException("the broker did not take the backlog within 60 s")
    return Backlog(firsts, read_ends(addresses))


def preload_packed(
    addresses: Addresses, *, limit: int, value_bytes: int = VALUE_BYTES, valid: bool = True
) -> Backlog:
    """Send to each partition a batch that unpacks to just under the limit, and one to twice it.

    The latter is not part of the backlog: it is to stop its partition. Raises KafkaError.
    """
    firsts = read_ends(addresses)
    fitting = limit // (value_bytes + RECORD_BYTES)

    async def send(count: int) -> None:
        kafka = KafkaSettings(bootstrap_servers=addresses.kafka_bootstrap_servers)
        async with AIOKafkaProducer(**kafka.aiokafka(), acks="all") as producer:
            for topic, partition in firsts:
                batch = _packed(BY_TOPIC[topic], f"p{partition}", count, value_bytes, valid=valid)
                await send_batch(producer, topic, partition, batch, ZSTD)

    asyncio.run(send(fitting))
    backlog = Backlog(firsts, read_ends(addresses))
    asyncio.run(send(2 * fitting))
    return backlog


def _packed(stream: Stream, part: str, count: int, value_bytes: int, *, valid: bool) -> list[Sent]:
    name, begins = uuid.uuid4().hex[:6], time.time_ns() // 1_000
    values = (
        _value(stream, f"packed-{name}-{part}-{number}", begins, value_bytes)
        for number in range(count)
    )
    return [(None, value if valid else value[:-1], ()) for value in values]


def _value(stream: Stream, device: str, instant_us: int, value_bytes: int = VALUE_BYTES) -> bytes:
    measures = dict.fromkeys(stream.fields, 1.0)
    ends = {stream.id_field: device, "timestamp": format_timestamp(instant_us), "padding": ""}
    fields = measures | ends
    empty = json.dumps(fields)
    return json.dumps(fields | {"padding": "x" * (value_bytes - len(empty))}).encode()


def _send(producer: Producer, topic: str, key: str, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, value, key)
        except BufferError:  # the queue is full
            producer.poll(_ROOM_S)
        else:
            producer.poll(0)
            return
