"""The offsets stored in PostgreSQL: the truth about how far each partition is."""

from collections.abc import Collection, Mapping

from aiokafka import TopicPartition

from consumer.database import Connection
from consumer.statements import statement

Offsets = dict[TopicPartition, int]


async def read_offsets(connection: Connection, consumer_group: str) -> Offsets:
    """Return the next offset of every partition that the group has ever read."""
    cursor = await connection.execute(statement("read_offsets"), {"consumer_group": consumer_group})
    return {TopicPartition(topic, number): offset async for topic, number, offset in cursor}


async def claim_offsets(
    connection: Connection, consumer_group: str, earliest: Mapping[TopicPartition, int]
) -> None:
    """Give partitions that were never read their first offset; existing ones stay."""
    partitions: Collection[TopicPartition] = earliest.keys()
    await connection.execute(
        statement("claim_offsets"),
        {
            "consumer_group": consumer_group,
            "topics": [partition.topic for partition in partitions],
            "partitions": [partition.partition for partition in partitions],
            "offsets": list(earliest.values()),
        },
    )
