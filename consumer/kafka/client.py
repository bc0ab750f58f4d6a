"""aiokafka's consumer: configured as a replica needs it, and stopped at any time."""

import asyncio

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from consumer.settings import SourceSettings
from runtime.kafka.settings import KafkaSettings
from telemetry.streams import STREAMS

_REQUEST_TIMEOUT_MS = 60_000
# To answer each message at once, with all partitions named in each request, would cost more than
# the flushes.
_FETCH_MIN_BYTES = 1 << 14
_FETCH_MAX_WAIT_MS = 50
# aiokafka would leave the group when nothing is fetched for this long, which happens on purpose
# while the database is away. The watchdog judges liveness.
_MAX_POLL_INTERVAL_MS = 24 * 3_600 * 1_000
# A topic that was deleted and created again has to be noticed while its offsets are still few. By
# default five minutes pass, in which it may grow past the stored offsets and seem to fit them.
_METADATA_MAX_AGE_MS = 10_000


def group_member(
    kafka: KafkaSettings, settings: SourceSettings, listener: ConsumerRebalanceListener
) -> AIOKafkaConsumer:
    """Return a consumer, not started yet, that is to join the group for the topics of all streams.

    The listener has a method `fenced` beside aiokafka's own: see `consumer.kafka.membership`.
    """
    consumer = AIOKafkaConsumer(
        **kafka.aiokafka(),
        group_id=settings.consumer_group,
        group_instance_id=settings.kafka_group_instance_id,
        session_timeout_ms=settings.kafka_session_timeout_ms,
        heartbeat_interval_ms=settings.kafka_heartbeat_interval_ms,
        rebalance_timeout_ms=settings.kafka_rebalance_timeout_ms,
        max_poll_interval_ms=_MAX_POLL_INTERVAL_MS,
        metadata_max_age_ms=_METADATA_MAX_AGE_MS,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
        fetch_min_bytes=_FETCH_MIN_BYTES,
        fetch_max_wait_ms=_FETCH_MAX_WAIT_MS,
        fetch_max_bytes=settings.kafka_fetch_max_bytes,
        max_partition_fetch_bytes=settings.kafka_partition_fetch_max_bytes,
        # Exactly one assignor, and not the sticky one: it keeps its state in the class.
        partition_assignment_strategy=[RoundRobinPartitionAssignor],
        auto_offset_reset="none",  # PostgreSQL says where to start: never a silent reset
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    consumer.subscribe([stream.topic for stream in STREAMS], listener=listener)
    return consumer


async def stop(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer of aiokafka, however early.

    It cancels its tasks and waits for them. A task that has not begun yet does not catch its
    cancellation, which would then end the caller instead: so the tasks get to begin first.
    """
    await asyncio.sleep(0)
    await consumer.stop()
