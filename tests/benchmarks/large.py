"""A backlog of large messages: valid readings with a long field that nobody knows."""

import json
import time
import uuid

from confluent_kafka import KafkaException, Producer

from deploy.local.stack import Addresses
from telemetry.streams import STREAMS, Stream
from telemetry.timestamps import SECOND_US, format_timestamp
from tests.benchmarks.backlog import Backlog, read_ends

VALUE_BYTES = 60 * 1_024
DEVICES = 1_000
_ROOM_S = 0.1


def preload_large(
    addresses: Addresses, messages: int, *, compression: str, valid: bool = True
) -> Backlog:
    """Send so many values of 60 KiB, in turn to both topics; invalid ones end too early.

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


def _value(stream: Stream, device: str, instant_us: int) -> bytes:
    measures = dict.fromkeys(stream.fields, 1.0)
    ends = {stream.id_field: device, "timestamp": format_timestamp(instant_us), "padding": ""}
    fields = measures | ends
    empty = json.dumps(fields)
    return json.dumps(fields | {"padding": "x" * (VALUE_BYTES - len(empty))}).encode()


def _send(producer: Producer, topic: str, key: str, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, value, key)
        except BufferError:  # the queue is full
            producer.poll(_ROOM_S)
        else:
            producer.poll(0)
            return
