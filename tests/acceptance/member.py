"""A member of the group in the test's own process, so that single steps of its client can be held.

Source, pipeline, broker and database are real. What is held or made to fail is a method of the
client's one object, and only for as long as the test says.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Message
from pydantic import SecretStr

from consumer.kafka.source import Source
from consumer.metrics import Metrics
from consumer.pipeline import Pipeline
from consumer.schedule import Schedule
from consumer.settings import DatabaseSettings, FlushSettings, Settings, SourceSettings
from consumer.wiring import build
from deploy.replica import PATIENCE_S
from runtime.kafka.settings import KafkaSettings
from tests import kafka_clients
from tests.acceptance.conftest import Environment

# Nothing is started here but a client: what is wanted comes soon, or never.
_EVENTUALLY_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Member:
    """A pipeline that runs, and what it is made of."""

    source: Source
    schedule: Schedule
    pipeline: Pipeline
    metrics: Metrics

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


class Opener:
    """Reads nothing but these partitions, each from its offset whenever it is assigned."""

    def __init__(self, source: Source, offsets: dict[TopicPartition, int]) -> None:
        self.source = source
        self.offsets = offsets
        self.owned: set[TopicPartition] = set()
        self.has_partitions = asyncio.Event()
        self.on_revoked: Callable[[], Awaitable[None]] | None = None

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        self.owned = partitions
        for partition in partitions & self.offsets.keys():
            assert self.source.open(partition, self.offsets[partition])
        self.has_partitions.set()

    async def revoked(self, partitions: set[TopicPartition]) -> None:
        self.owned -= partitions
        self.has_partitions.clear()
        if self.on_revoked is not None:
            await self.on_revoked()

    async def rebalance(self) -> None:
        """Make the member join anew, and return once it has partitions again."""
        self.has_partitions.clear()
        join_anew(self.source)
        await self.has_partitions.wait()


class Held:
    """Stands in for a coroutine function: its start, or what it returns, waits to be let go.

    What waits at the end of the block is let go, so that a test that fails ends too.
    """

    def __init__(self, function: Callable[..., Awaitable[Any]], *, before: bool = False) -> None:
        self._function = function
        self._before = before
        self.reached = asyncio.Event()
        self.let_go = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go.set()

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self._before:
            await self._hold()
        returned = await self._function(*arguments, **named)
        if returned and not self._before:
            await self._hold()
        return returned

    async def _hold(self) -> None:
        self.reached.set()
        await self.let_go.wait()


def join_anew(source: Source) -> None:
    """Do what a heartbeat does when it is told of another member that comes or goes."""
    source._member._coordinator.request_rejoin()


@asynccontextmanager
async def a_source(environment: Environment) -> AsyncIterator[Source]:
    """A source that is yet to be started."""
    source = Source(
        kafka=kafka(environment), settings=source_settings(environment), metrics=Metrics()
    )
    try:
        yield source
    finally:
        await source.aclose()


@asynccontextmanager
async def a_member(environment: Environment, **flush: Any) -> AsyncIterator[Member]:
    """A member that runs; it fails the test if it fails, and is drained at the end."""
    settings = Settings(
        kafka=kafka(environment),
        database=DatabaseSettings(
            database_url=SecretStr(environment["DATABASE_URL"]), database_lock_timeout_s=1
        ),
        source=source_settings(environment),
        flush=FlushSettings(**flush),
    )
    async with build(settings) as parts, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(parts.pipeline.run())
        yield Member(
            source=parts.source,
            schedule=parts.schedule,
            pipeline=parts.pipeline,
            metrics=parts.metrics,
        )
        await parts.pipeline.drain(settings.flush.drain_timeout_s)
        running.cancel()


def source_settings(environment: Environment) -> SourceSettings:
    return SourceSettings(
        consumer_group=environment["CONSUMER_GROUP"], kafka_heartbeat_interval_ms=200
    )


def kafka(environment: Environment) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"])


def send(
    environment: Environment,
    partition: TopicPartition,
    messages: Iterable[tuple[bytes, bytes]],
) -> int:
    """Send (key, value) pairs to one partition and return the offset of the first."""
    offsets: list[int] = []

    def delivered(error: object, message: Message) -> None:
        assert error is None
        offsets.append(message.offset() or 0)

    with kafka_clients.producer(environment["KAFKA_BOOTSTRAP_SERVERS"]) as producer:
        for key, value in messages:
            producer.produce(
                partition.topic,
                key=key,
                value=value,
                partition=partition.partition,
                on_delivery=delivered,
            )
        assert producer.flush(PATIENCE_S) == 0
    return min(offsets)


async def committed(environment: Environment, partition: TopicPartition) -> int | None:
    """Return the group's offset in Kafka, as a lag tool sees it."""
    consumer = AIOKafkaConsumer(
        **kafka(environment).aiokafka(),
        group_id=environment["CONSUMER_GROUP"],
        enable_auto_commit=False,
    )
    consumer.assign([partition])
    await consumer.start()
    try:
        offset: int | None = await consumer.committed(partition)
    finally:
        await consumer.stop()
    return offset


async def eventually(condition: Callable[[], bool], *, what: str) -> None:
    """Return once the condition holds; the loop goes on meanwhile."""
    try:
        async with asyncio.timeout(_EVENTUALLY_S):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"did not happen in time: {what}") from None
