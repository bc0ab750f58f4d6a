"""Parts of the consumer on a real PostgreSQL."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import AsyncConnection

from consumer.flush.copies import Copies
from consumer.flush.decode import Decoded, decode_batch
from consumer.flush.flush import Flush
from consumer.flush.sink import Sink
from consumer.kafka.records import Record
from consumer.metrics import Metrics
from consumer.postgres.connection import Connection, connect
from consumer.postgres.database import Database
from consumer.postgres.refusals import Work
from consumer.settings import DatabaseSettings
from telemetry.decode import TimeLimits
from telemetry.streams import METER, Stream
from tests.by_column import by_column
from tests.needed import UNVERSIONED, tree_of, unversioned_schema

GROUP = "test-group"
FLUSH = Work("flush", METER.topic, stores=True)
NOW = datetime.now(UTC).replace(microsecond=0)


def meter_value(
    device: str = "mtr-1",
    *,
    ago: timedelta = timedelta(minutes=1),
    kwh: float = 0.5,
    **extra: object,
) -> bytes:
    """Return the bytes of a meter reading taken some time ago."""
    fields = {
        "meterId": device,
        "kwhConsumedAc": kwh,
        "voltage": 229.8,
        "timestamp": (NOW - ago).isoformat(),
    }
    return json.dumps(fields | extra).encode()


def vehicle_value(
    device: str = "veh-1", *, ago: timedelta = timedelta(minutes=1), kwh: float = 0.45
) -> bytes:
    """Return the bytes of a vehicle reading taken some time ago."""
    fields = {
        "vehicleId": device,
        "soc": 54.3,
        "kwhDeliveredDc": kwh,
        "batteryTemp": 27.1,
        "timestamp": (NOW - ago).isoformat(),
    }
    return json.dumps(fields).encode()


def record(offset: int, value: bytes | None, **fields: object) -> Record:
    """Return a record whose key is of no importance."""
    plain = Record(offset, int(NOW.timestamp() * 1_000), b"key", value, ())
    return plain._replace(**fields)  # type: ignore[arg-type]  # the test names real fields


def flush_of(
    values: Sequence[bytes | Record | None],
    *,
    believed: int = 0,
    stream: Stream = METER,
    partition: int = 0,
    copies: Copies | None = None,
) -> Flush:
    """Return the flush of a batch of these values, at consecutive offsets from `believed` on."""
    records = by_column(
        value if isinstance(value, Record) else record(believed + place, value)
        for place, value in enumerate(values)
    )
    decoded = Decoded()
    limits = TimeLimits.at(time.time_ns() // 1_000, retention_days=400)
    for _ in decode_batch(records, stream, limits, decoded):
        pass
    return Flush(
        consumer_group=GROUP,
        stream=stream,
        partition=partition,
        believed=believed,
        next_offset=records.offsets[-1] + 1,
        records=records,
        decoded=decoded,
        copies=copies or Copies(),
    )


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The schema as it was made before it had a version."""
    return unversioned_schema(tree_of(UNVERSIONED, tmp_path_factory.mktemp("git") / "tree"))


@pytest.fixture
def database_settings(database_url: str) -> DatabaseSettings:
    return DatabaseSettings(database_url=database_url)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def database(database_settings: DatabaseSettings, metrics: Metrics) -> Database:
    return Database(settings=database_settings, metrics=metrics)


@pytest.fixture
async def sink(database: Database, metrics: Metrics) -> AsyncIterator[Sink]:
    async with aclosing(Sink(database=database, metrics=metrics, timeout=30)) as sink:
        yield sink


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """Another session, to look at what is stored; its group starts at offset 0."""
    async with await AsyncConnection.connect(database_url, autocommit=True) as connection:
        for stream in ("telemetry.meter", "telemetry.vehicle"):
            for partition in range(2):
                await connection.execute(
                    "INSERT INTO ingest_offset VALUES (%s, %s, %s, 0)", [GROUP, stream, partition]
                )
        yield connection


@pytest.fixture
async def replica(database_settings: DatabaseSettings) -> AsyncIterator[Connection]:
    """A session as a replica has it."""
    async with await connect(database_settings) as connection:
        yield connection


@pytest.fixture
async def operator(database_settings: DatabaseSettings) -> AsyncIterator[Connection]:
    """The session that deletes or removes what is stored."""
    connection = await connect(database_settings)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def another_schema(url: str, name: str, text: str) -> AsyncIterator[Connection]:
    """Lend a connection to a schema of this name, made of the text."""
    async with await psycopg.AsyncConnection.connect(
        f"{url}?options=-csearch_path%3D{name}%20-ctimezone%3DUTC", autocommit=True
    ) as connection:
        await connection.execute(f"CREATE SCHEMA {name}")
        if text:
            await connection.execute(text)
        yield connection


async def rows(connection: psycopg.AsyncConnection, query: str) -> list[tuple[object, ...]]:
    """Return what a query finds."""
    cursor = await connection.execute(query)
    return await cursor.fetchall()
