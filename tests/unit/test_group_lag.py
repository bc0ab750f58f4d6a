"""The lag of the whole group, as a replica shows it that owns nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import psycopg
import pytest
from aiokafka import TopicPartition

from consumer import group_lag
from consumer.group_lag import GroupLag
from consumer.kafka import admin
from consumer.kafka.admin import Group
from consumer.kafka.ends import Look
from consumer.metrics import Metrics
from consumer.offsets import Offsets
from consumer.schedule import Schedule
from consumer.settings import FlushSettings
from runtime.kafka.settings import KafkaSettings

PLACE = TopicPartition("telemetry.meter", 3)


class Ends:
    """Logs that all begin at 100 and end at 1,000. Only one look is ever taken."""

    def __init__(self) -> None:
        self.others: list[TopicPartition] = []
        self.looks = 0
        self.is_asked_again = asyncio.Event()

    async def next(self) -> Look:
        self.looks += 1
        if self.looks > 1:
            self.is_asked_again.set()
            await asyncio.Event().wait()
        ends = dict.fromkeys(self.others, 1_000)
        return Look(0.0, high=ends, stable=ends, missing=frozenset())

    async def earliest(self, partitions: set[TopicPartition]) -> Offsets:
        return dict.fromkeys(partitions, 100)


class Database:
    """PostgreSQL, of which this replica could use nothing yet; None: it is away."""

    is_available = False

    def __init__(self, stored: Offsets | None) -> None:
        self.stored = stored

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Database"]:
        if self.stored is None:
            raise psycopg.OperationalError("connection refused")
        yield self


async def read_offsets(database: Database, _: str) -> Offsets:
    return dict(database.stored or {})


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def database() -> Database:
    return Database({PLACE: 990})


@pytest.fixture
def ends() -> Ends:
    return Ends()


@pytest.fixture
def lag(
    ends: Ends, metrics: Metrics, database: Database, monkeypatch: pytest.MonkeyPatch
) -> GroupLag:
    monkeypatch.setattr(group_lag, "read_offsets", read_offsets)
    return GroupLag(
        ends=cast("Any", ends),
        kafka=KafkaSettings(bootstrap_servers="localhost:9092"),
        consumer_group="test",
        source=cast("Any", None),
        schedule=Schedule(FlushSettings()),
        open_forgotten=lambda _: None,  # it owns none
        database=cast("Any", database),
        metrics=metrics,
    )


async def look(lag: GroupLag, metrics: Metrics, *, end: int) -> float | None:
    """Look at a log that ends there; return the lag that is shown."""
    await lag._show(Look(0.0, high={PLACE: end}, stable={PLACE: end}, missing=frozenset()))
    return shown(metrics)


def shown(metrics: Metrics) -> float | None:
    labels = {"topic": PLACE.topic, "partition": str(PLACE.partition)}
    return metrics.registry.get_sample_value("telemetry_group_lag_messages", labels)


async def test_a_replica_that_waits_for_the_schema_shows_what_others_have_not_stored(
    lag: GroupLag, metrics: Metrics, database: Database
) -> None:
    assert await look(lag, metrics, end=1_000) == 10
    database.stored = {PLACE: 1_998}
    assert await look(lag, metrics, end=2_000) == 2


async def test_during_an_outage_the_lag_grows_from_what_was_stored_before(
    lag: GroupLag, metrics: Metrics, database: Database
) -> None:
    assert await look(lag, metrics, end=1_000) == 10
    database.stored = None
    assert await look(lag, metrics, end=1_500) == 510


async def test_no_lag_is_shown_as_long_as_nothing_is_known_of_what_is_stored(
    lag: GroupLag, metrics: Metrics, database: Database
) -> None:
    database.stored = None
    with pytest.raises(psycopg.OperationalError):  # `run` looks again later
        await look(lag, metrics, end=1_000)
    assert shown(metrics) is None


async def test_a_partition_of_which_nothing_was_stored_lags_from_its_earliest_record(
    lag: GroupLag, metrics: Metrics, database: Database
) -> None:
    database.stored = {}
    assert await look(lag, metrics, end=1_000) == 900


async def test_already_the_first_look_shows_the_partitions_of_all_replicas(
    lag: GroupLag, ends: Ends, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def list_leaders(*_: object) -> dict[TopicPartition, int]:
        return {PLACE: 1}

    async def read_group(*_: object) -> Group:
        return Group(is_settled=True, members=())

    monkeypatch.setattr(admin, "list_leaders", list_leaders)
    monkeypatch.setattr(admin, "read_group", read_group)
    running = asyncio.create_task(lag.run())
    await ends.is_asked_again.wait()
    running.cancel()
    assert shown(metrics) == 10
