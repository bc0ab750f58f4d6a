"""The offsets stored in PostgreSQL: the truth about how far each partition is."""

from collections.abc import Collection, Mapping

from aiokafka import TopicPartition
from psycopg import Rollback

from consumer.offsets import Move, Offsets
from consumer.postgres.database import Connection
from consumer.postgres.statements import statement


async def read_offsets(connection: Connection, consumer_group: str) -> Offsets:
    """Return the next offset of every partition that the group has ever read."""
    cursor = await connection.execute(statement("read_offsets"), {"consumer_group": consumer_group})
    return {TopicPartition(topic, number): offset async for topic, number, offset in cursor}


async def list_other_groups(
    connection: Connection, consumer_group: str, topics: Collection[str]
) -> list[tuple[str, int]]:
    """Return which other groups read these topics, and how many partitions; the latest first."""
    cursor = await connection.execute(
        statement("list_other_groups"), {"consumer_group": consumer_group, "topics": list(topics)}
    )
    return [(group, count) async for group, count in cursor]


async def read_times(connection: Connection, consumer_group: str) -> dict[TopicPartition, float]:
    """Return when the group last stored of each partition, in seconds since 1970."""
    cursor = await connection.execute(statement("read_times"), {"consumer_group": consumer_group})
    return {TopicPartition(topic, number): at async for topic, number, at in cursor}


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


async def end_suspended_flushes(connection: Connection, consumer_group: str) -> int:
    """End the sessions that hold an offset of the group and whose clients say nothing.

    A replica that is suspended in mid-flush keeps the offset's row locked, and whoever takes its
    partition over would wait until the server gave up on it, which in mid-COPY is never. Its
    transaction is rolled back; when it wakes up, the fence refuses it. Returns how many ended.
    """
    cursor = await connection.execute(
        statement("end_suspended_flushes"), {"consumer_group": consumer_group}
    )
    return len(await cursor.fetchall())


async def move_offsets(
    connection: Connection, consumer_group: str, topic: str, moves: Collection[Move]
) -> list[int]:
    """Move all offsets of a topic, or none; return the partitions that somebody moved meanwhile.

    A replica that took over a partition meanwhile and has not moved it yet is fenced by its next
    flush, and goes on from the new offset.
    """
    async with connection.transaction() as transaction:
        cursor = await connection.execute(
            statement("move_offsets"),
            {
                "consumer_group": consumer_group,
                "topic": topic,
                "partitions": [move.partition for move in moves],
                "shown": [move.stored for move in moves],
                "next_offsets": [move.to for move in moves],
            },
        )
        refused = [partition async for (partition,) in cursor]
        if refused:
            raise Rollback(transaction)
    return refused
