"""A batch that cannot be read, and whether the same bytes will come again."""

from typing import Self

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, RecordTooLargeError


class Unreadable(KafkaError):  # type: ignore[misc]  # noqa: N818  aiokafka's are untyped
    """The batch of the partition's next record cannot be read; the message is one line.

    `end` is the offset after the batch; None if its bytes cannot be trusted.
    """

    def __init__(
        self, partition: TopicPartition, *, offset: int, end: int | None, reason: str
    ) -> None:
        super().__init__(f"{partition.topic}/{partition.partition} at {offset}: {reason}")
        self.partition = partition
        self.offset = offset
        self.end = end
        self.reason = reason

    @classmethod
    def of_wrong_length(cls, error: RecordTooLargeError) -> Self:
        """Return what aiokafka's error means here.

        It says so of a batch that is longer than what came; brokers never cut a batch in two.
        """
        _, partition, offset, *_ = error.args
        reason = "its length is not that of what came"
        return cls(partition, offset=offset, end=None, reason=reason)

    @property
    def is_certain(self) -> bool:
        """Return whether the same bytes will come again, because their producer sent them so."""
        return self.end is not None
