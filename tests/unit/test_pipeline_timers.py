"""The next try of a flush is not missed: the service's event loop calls back a little early."""

import asyncio
import time
from functools import partial
from typing import Any, cast

import uvloop
from aiokafka import TopicPartition

from consumer.age import Age
from consumer.kafka.records import Records
from consumer.metrics import Metrics
from consumer.owned import Owned
from consumer.pipeline import Pipeline
from consumer.schedule import Schedule
from consumer.settings import FlushSettings
from telemetry.streams import METER

SETTINGS = FlushSettings(flush_interval_ms=1)
# So many that some of the timers would be early.
PARTITIONS = [TopicPartition(METER.topic, number) for number in range(40)]


class Source:
    """Kafka, of which this replica holds nothing unpacked and reads nothing again."""

    unpacked_bytes = 0
    stopped: tuple[TopicPartition, ...] = ()

    def make_room(self, _: TopicPartition) -> None: ...

    def open(self, *_: object) -> bool:
        return True


class Database:
    """PostgreSQL, which has refused something for the first time."""

    longest_pause = 0.06

    def renew(self) -> None: ...


def started() -> tuple[Pipeline, Schedule]:
    """Return a pipeline with a flush of each partition under way."""
    schedule = Schedule(SETTINGS)
    pipeline = Pipeline(
        source=cast("Any", Source()),
        schedule=schedule,
        opener=cast("Any", None),
        decoder=cast("Any", None),
        sinks=[],
        database=cast("Any", Database()),
        settings=SETTINGS,
        metrics=Metrics(),
    )
    for partition in PARTITIONS:
        owned = Owned(partition, METER, 0, Age(stored_at=0.0))
        schedule.own(owned)
        schedule.take(
            [partition], {partition: Records([0], [0], [b"key"], [b"value"], {})}, now=0.0
        )
        schedule.begin(owned)
    return pipeline, schedule


async def looked_at(*, is_refused: bool) -> list[bool]:
    """Let every flush fail; return for each whether it may be tried when it is looked at again."""
    pipeline, schedule = started()
    found: list[bool] = []
    ended = asyncio.get_running_loop().create_future()

    def look(owned: Owned) -> None:
        now = time.monotonic()
        if owned.flight is None:
            found.append(now >= owned.retry_at)
        else:
            found.append(owned.flight.is_due(now=now))
        if len(found) == len(PARTITIONS):
            ended.set_result(None)

    for owned in list(schedule.owned):
        pipeline._dispatch = partial(look, owned)  # type: ignore[method-assign]  # to be told
        if is_refused:
            pipeline._look_again = partial(look, owned)  # type: ignore[method-assign]  # to be told
            pipeline._refuse(owned, Exception())
        else:
            assert owned.flight is not None
            pipeline._postpone(owned, owned.flight)
    await ended
    return found


def test_a_flush_that_met_a_conflict_is_due_when_it_is_looked_at_again() -> None:
    assert all(uvloop.run(looked_at(is_refused=False)))


def test_a_partition_that_was_refused_may_be_read_when_it_is_looked_at_again() -> None:
    assert all(uvloop.run(looked_at(is_refused=True)))
