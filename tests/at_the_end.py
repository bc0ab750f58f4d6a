"""A group that begins where the topics end: what other tests have sent is not its own."""

import asyncio

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition

from runtime.kafka.settings import KafkaSettings
from runtime.kafka.topics import DEFAULT_PARTITIONS, create_topics
from telemetry.streams import STREAMS


def start_at_the_end(bootstrap_servers: str, database_url: str, group: str) -> None:
    """Let a group begin with what is sent from now on; make the topics that are missing."""
    ends = asyncio.run(_ends(KafkaSettings(bootstrap_servers=bootstrap_servers)))
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ingest_offset VALUES (%s, %s, %s, %s)",
            [(group, place.topic, place.partition, offset) for place, offset in ends.items()],
        )


async def _ends(kafka: KafkaSettings) -> dict[TopicPartition, int]:
    await create_topics(kafka)
    places = [
        TopicPartition(stream.topic, number)
        for stream in STREAMS
        for number in range(DEFAULT_PARTITIONS)
    ]
    consumer = AIOKafkaConsumer(**kafka.aiokafka())
    await consumer.start()
    try:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(places)
    finally:
        await consumer.stop()
    return ends
