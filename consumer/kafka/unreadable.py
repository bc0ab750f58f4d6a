"""Why a partition stands: its next batch, looked at as a replica would read it."""

import asyncio
from collections.abc import Mapping

from aiokafka import TopicPartition

from consumer.kafka import admin
from consumer.kafka.fetched import Unreadable
from consumer.kafka.source import limit_unpacking
from consumer.settings import SourceSettings
from runtime.kafka.settings import KafkaSettings

_PATIENCE_S = 3.0
_WAIT_MS = 500


async def find_unreadable(
    kafka: KafkaSettings, settings: SourceSettings, offsets: Mapping[TopicPartition, int]
) -> dict[TopicPartition, Unreadable]:
    """Return which of these partitions cannot be read from their offset, and why.

    Of one that holds no messages there nothing is said. Raises KafkaError, OSError, TimeoutError.
    """
    limit_unpacking(settings)
    found: dict[TopicPartition, Unreadable] = {}
    unseen = dict(offsets)
    async with admin.a_consumer(
        kafka,
        auto_offset_reset="none",
        enable_auto_commit=False,
        fetch_max_bytes=settings.kafka_fetch_max_bytes,
        max_partition_fetch_bytes=settings.kafka_partition_fetch_max_bytes,
    ) as consumer:
        consumer.assign(list(offsets))
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while unseen and asyncio.get_running_loop().time() < deadline:
            for partition, offset in unseen.items():  # an error loses what others had fetched
                consumer.seek(partition, offset)
            try:
                seen = set(await consumer.getmany(*unseen, timeout_ms=_WAIT_MS))
            except Unreadable as error:
                found[error.partition] = error
                seen = {error.partition}
            for partition in seen:
                consumer.seek(partition, unseen.pop(partition))  # what is unpacked of it goes
                consumer.pause(partition)
            if not seen:
                break
    return found
