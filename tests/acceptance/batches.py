"""Batches sent as they are given, record by record, and read to their end."""

import asyncio
import time
from collections.abc import Iterable, Sequence

from aiokafka import AIOKafkaProducer

from runtime.kafka.settings import KafkaSettings
from telemetry.streams import METER, Stream
from tests.acceptance.conftest import Environment, query, until
from tests.corpus.readings import reading
from tests.record_batches import Sent, send_batch


def plain(value: bytes | None, key: bytes | None = b"key") -> Sent:
    return key, value, ()


def meters(count: int, *, name: str) -> list[bytes]:
    """Return good messages of as many devices, taken now."""
    now_us = time.time_ns() // 1_000
    return [reading(METER, f"{name}-{place}", now_us) for place in range(count)]


def send(
    environment: Environment,
    batches: Iterable[Sequence[Sent]],
    *,
    stream: Stream = METER,
    partition: int = 0,
    codec: int = 0,
) -> list[int]:
    """Send each batch as one and return the offsets of all records."""

    async def sent() -> list[int]:
        kafka = KafkaSettings(bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"])
        offsets: list[int] = []
        async with AIOKafkaProducer(**kafka.aiokafka(), acks="all") as producer:
            for batch in batches:
                first = await send_batch(producer, stream.topic, partition, batch, codec)
                offsets += range(first, first + len(batch))
        return offsets

    return asyncio.run(sent())


def until_read(environment: Environment, after: int, *, stream: Stream = METER) -> None:
    """Return once all of partition 0 up to this offset is stored."""
    stored = (
        f"SELECT next_offset > {after} FROM ingest_offset"
        f" WHERE topic = '{stream.topic}' AND partition = 0"
    )
    until(lambda: query(environment, stored) == [(True,)], what="all read")
