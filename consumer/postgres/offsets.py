"""The offsets stored in PostgreSQL: how far each of Kafka's partitions is stored."""

from collections.abc import Collection, Mapping

from aiokafka import TopicPartition
from psycopg import Rollback

from consumer.move import Move
from consumer.offsets import Offsets
from consumer.postgres.connection import Connection
from consumer.postgres.statements import statement


async def read_offsets(connection: Connection, consumer_group: str) -> Offsets:
    """Return the next offset of each partition that the group has ever read."""
    cursor = await connection.execute(statement("read_offsets"), {"consumer_group": consumer_group})
    return {TopicPartition(topic, number): offset async for topic, number, offset in cursor}


async def list_other_groups(
    connection: Connection, consumer_group: str, topics: Collection[str]
) -> list[tuple[str, int]]:
    """Return the other groups that read these topics, with how many partitions, latest first."""
    cursor = await connection.execute(
        statement("list_other_groups"), {"consumer_group": consumer_group, "topics": list(topics)}
    )
    return [(group, count) async for group, count in cursor]


async def read_times(connection: Connection, consumer_group: str) -> dict[TopicPartition, float]:
    """Return when the group last stored records of each partition, in seconds since 1970."""
    cursor = await connection.execute(statement("read_times"), {"consumer_group": consumer_group})
    return {TopicPartition(topic, number): at async for topic, number, at in cursor}


async def claim_offsets(
    connection: Connection, consumer_group: str, earliest: Mapping[TopicPartition, int]
) -> None:
    """Give partitions that were never read their first offset; existing offsets stay."""
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
    """End the sessions that hold an offset of the group while their clients send nothing.

    A replica that is suspended in mid-flush keeps the row of its offset locked. The replica that
    takes its partition over would wait until the server gives up on the session, which in mid-COPY
    is never. Here its transaction is rolled back, and the fence refuses it when it wakes up.
    Returns how many sessions were ended.
    """
    cursor = await connection.execute(
        statement("end_suspended_flushes"), {"consumer_group": consumer_group}
    )
    return len(await cursor.fetchall())


async def move_offsets(
    connection: Connection, consumer_group: str, topic: str, moves: Collection[Move]
) -> list[int]:
    """Move all offsets of a topic, or none; return the partitions that were moved meanwhile.

    A replica that took over a partition meanwhile and has not stored anything of it yet is fenced
    at its next flush, and goes on from the new offset.
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
