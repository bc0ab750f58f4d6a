"""The offsets at which partitions begin and end, asked of Kafka in a bounded time."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from api.figures.pace import Partition
from runtime.kafka.librdkafka_log import SILENT
from runtime.kafka.settings import KafkaSettings
from telemetry.streams import STREAMS

_ANSWER_S = 3.0
_ALL_S = 8.0
# These have no types in confluent-kafka.
_FIRST = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_END = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class Unanswered(Exception):  # noqa: N818  it says what became of the question
    """Kafka did not answer, or not in time."""


class Span(NamedTuple):
    """The offset of a partition's first record, and the one after its last."""

    first: int
    end: int


class Ends:
    """A Kafka client that asks for offsets, and neither reads nor writes records."""

    def __init__(self, *, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._admin: AdminClient | None = None
        self._made_of: object = None

    async def look(self) -> Mapping[Partition, Span]:
        """Return the span of each partition; a topic that does not exist has none.

        Raises Unanswered.
        """
        try:
            admin = self._admin = self._admin or self._client()
            admin.poll(0)  # hands over its log lines, which would pile up otherwise
            async with asyncio.timeout(_ALL_S):
                partitions = await self._partitions(admin)
                firsts = await self._offsets(admin, partitions, _FIRST)
                ends = await self._offsets(admin, partitions, _END)
        except (KafkaException, TimeoutError) as error:
            if self._kafka.version() != self._made_of:  # a secret or certificate was replaced
                self.close()
            said = error.args[0].str() if isinstance(error, KafkaException) else "no answer in time"
            raise Unanswered(said) from error
        return {one: Span(firsts[one], ends[one]) for one in partitions}

    def close(self) -> None:
        """End the client; the next look makes another."""
        admin, self._admin = self._admin, None
        if admin is not None:
            with admin:  # the client has no other way to be closed
                pass

    async def _partitions(self, admin: AdminClient) -> list[Partition]:
        asked = admin.describe_topics(
            TopicCollection([stream.topic for stream in STREAMS]), request_timeout=_ANSWER_S
        )
        found: list[Partition] = []
        for answer in asked.values():
            try:
                topic = await asyncio.wrap_future(answer)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
            else:
                found += [(topic.name, partition.id) for partition in topic.partitions]
        return found

    async def _offsets(
        self, admin: AdminClient, partitions: list[Partition], spec: OffsetSpec
    ) -> dict[Partition, int]:
        if not partitions:
            return {}
        asked = admin.list_offsets(
            {TopicPartition(*partition): spec for partition in partitions},
            # As the consumers read: records of an open transaction do not wait for them yet.
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=_ANSWER_S,
        )
        return {
            (one.topic, one.partition): (await asyncio.wrap_future(answer)).offset
            for one, answer in asked.items()
        }

    def _client(self) -> AdminClient:
        self._made_of = self._kafka.version()
        return AdminClient(self._kafka.librdkafka() | {"log_level": 2}, logger=SILENT)
