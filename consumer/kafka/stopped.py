"""Partitions that cannot be read from their next offset. They stop; nothing is skipped silently."""

from collections.abc import Collection, Iterator

import structlog
from aiokafka import TopicPartition

from consumer.kafka.unreadable import Unreadable
from consumer.metrics import Metrics

log = structlog.get_logger()

STOPPED_HELP = (
    "compare with Kafka: `python -m consumer offsets show`; then stop the replicas and say where"
    " to go on: `python -m consumer offsets reset`"
)


class Stopped(Collection[TopicPartition]):
    """The partitions that this replica has given up on, until the next assignment."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._partitions: set[TopicPartition] = set()
        self._doubted: dict[TopicPartition, int] = {}

    def __contains__(self, partition: object) -> bool:
        return partition in self._partitions

    def __iter__(self) -> Iterator[TopicPartition]:
        return iter(self._partitions)

    def __len__(self) -> int:
        return len(self._partitions)

    def add(
        self, partition: TopicPartition, *, next_offset: int, **known: int | str | None
    ) -> None:
        """Give up on a partition, and log it; `known` are further fields of the log line."""
        log.error(
            "partition_stopped",
            topic=partition.topic,
            partition=partition.partition,
            next_offset=next_offset,
            **{name: field for name, field in known.items() if field is not None},
            help=STOPPED_HELP,
        )
        self._metrics.stopped_partitions.labels(partition.topic, partition.partition).set(1)
        self._partitions.add(partition)

    def clear(self) -> None:
        """Forget them: the next owner of each finds out for itself."""
        self._partitions.clear()

    def gives_up_at(self, error: Unreadable) -> bool:
        """Return whether to give up on a partition at a batch that cannot be read.

        At once if its producer sent it so. One that the network or a broker's disk may have spoiled
        is fetched once more first.
        """
        is_new = self._doubted.get(error.partition) != error.offset
        self._doubted[error.partition] = error.offset
        if is_new and not error.is_certain:
            log.warning("batch_unreadable", error=str(error))
            return False
        return True
