"""Why a partition does not move on: its next batch, read as a replica would read it."""

import asyncio
from collections.abc import Mapping

from aiokafka import TopicPartition

from consumer.kafka import admin
from consumer.kafka.room import ROOM
from consumer.kafka.unreadable import Unreadable
from consumer.settings import SourceSettings
from runtime.kafka.settings import KafkaSettings

_PATIENCE_S = 3.0
_WAIT_MS = 500


async def find_unreadable(
    kafka: KafkaSettings, settings: SourceSettings, offsets: Mapping[TopicPartition, int]
) -> dict[TopicPartition, Unreadable]:
    """Return which of these partitions cannot be read from their offset, and why.

    A partition that holds no messages there is left out. Raises KafkaError, OSError, TimeoutError.
    """
    ROOM.limit = settings.kafka_unpacked_batch_max_bytes
    found: dict[TopicPartition, Unreadable] = {}
    unseen = dict(offsets)
    async with admin.consumer_of(
        kafka,
        auto_offset_reset="none",
        enable_auto_commit=False,
        fetch_max_bytes=settings.kafka_fetch_max_bytes,
        max_partition_fetch_bytes=settings.kafka_partition_fetch_max_bytes,
    ) as consumer:
        consumer.assign(list(offsets))
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while unseen and asyncio.get_running_loop().time() < deadline:
            # Each time: an error loses what was fetched of the other partitions.
            for partition, offset in unseen.items():
                consumer.seek(partition, offset)
            try:
                seen = set(await consumer.getmany(*unseen, timeout_ms=_WAIT_MS))
            except Unreadable as error:
                found[error.partition] = error
                seen = {error.partition}
            for partition in seen:
                consumer.seek(partition, unseen.pop(partition))  # frees what is unpacked of it
                consumer.pause(partition)
            if not seen:
                break
    return found
