"""What is done to the topics of a broker, beside what the service does itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from deploy.replica import PATIENCE_S
from runtime.kafka.settings import KafkaSettings
from runtime.kafka.topics import create_topics
from telemetry.streams import METER
from tests import kafka_clients
from tests.acceptance.conftest import Environment, until
from tests.acceptance.readings import meter_messages

BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


def make_topics(environment: Environment) -> None:
    """Make the topics that are missing, with three partitions each."""

    def made() -> bool:  # a name is free again a moment after its topic was deleted
        return bool(asyncio.run(create_topics(_kafka(environment), partitions=3)))

    until(made, what="the topics are made")


def delete_topics(environment: Environment) -> None:
    """Delete all topics but Kafka's own."""

    async def delete() -> None:
        async with _admin(environment) as admin:
            topics = [name for name in await admin.list_topics() if not name.startswith("__")]
            if topics:
                await admin.delete_topics(topics)

    asyncio.run(delete())


def delete_records(environment: Environment, partition: int, before: int) -> None:
    """Do what retention does."""

    async def delete() -> None:
        async with _admin(environment) as admin:
            place = TopicPartition(METER.topic, partition)
            await admin.delete_records({place: RecordsToDelete(before)})

    asyncio.run(delete())


def fill(environment: Environment, count: int, *, partition: int = 0, first: int = 0) -> None:
    """Send this many good readings to one partition, a tenth of a second apart in Kafka's time."""
    messages = list(meter_messages(first + count))[first:]
    with kafka_clients.producer(environment["KAFKA_BOOTSTRAP_SERVERS"]) as producer:
        for number, (key, value) in enumerate(messages, first):
            at = BEGIN + timedelta(seconds=number / 10)
            producer.produce(
                METER.topic,
                key=key,
                value=value,
                partition=partition,
                timestamp=int(at.timestamp() * 1_000),
                on_delivery=_delivered,
            )
        assert producer.flush(PATIENCE_S) == 0


def _delivered(error: object, message: object) -> None:
    assert error is None


@asynccontextmanager
async def _admin(environment: Environment) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**_kafka(environment).aiokafka())
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


def _kafka(environment: Environment) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"])
