"""How much of large dead letters is kept whole, and how long, on a real PostgreSQL."""

from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta
from hashlib import sha256

import pytest
from psycopg import AsyncConnection

from consumer.dead_letters.allowance import Allowance
from consumer.dead_letters.rows import KEPT_BYTES
from consumer.errors import Fenced
from consumer.flush.sink import Sink
from consumer.metrics import Metrics
from consumer.postgres.connection import Connection
from consumer.postgres.database import Database
from consumer.postgres.schema import apply_schema, check_schema
from consumer.upkeep.expiry import expire
from telemetry.reasons import Reason
from telemetry.streams import VEHICLE
from tests.integration.conftest import GROUP, NOW, flush_of, record, rows

LARGE = b"\xff" * 5_000  # malformed_json
ARRAY = b"[" + b"1," * 2_000 + b"1]"  # not_an_object
WHOLE = "SELECT record_offset FROM dead_letter WHERE is_whole ORDER BY partition, record_offset"

Replica = Callable[[Allowance], Sink]


@pytest.fixture
def replica(database: Database, metrics: Metrics) -> Replica:
    """Return the sink of one more replica, with this allowance."""
    return lambda allowance: Sink(
        database=database, metrics=metrics, timeout=30, allowance=allowance
    )


async def test_small_letters_are_whole_however_many(
    replica: Replica, connection: Connection
) -> None:
    async with aclosing(replica(Allowance(letters=1, bytes=1))) as sink:
        outcome = await sink.flush(flush_of([b"x" * KEPT_BYTES] * 50))
    assert outcome.cut == Counter()
    assert await rows(connection, "SELECT is_whole, count(*) FROM dead_letter GROUP BY 1") == [
        (True, 50)
    ]
    assert await rows(connection, "SELECT * FROM dead_letter_hour") == []


async def test_of_large_letters_the_first_are_whole_and_the_rest_say_what_they_were(
    replica: Replica, connection: Connection
) -> None:
    headers = tuple((f"name-{n}", b"value") for n in range(100))
    cut = record(2, LARGE + b"end", key=b"k" * 3_000, headers=headers)
    async with aclosing(replica(Allowance(letters=2))) as sink:
        outcome = await sink.flush(flush_of([LARGE, LARGE, cut, b"small"]))
    assert outcome.cut == {Reason.MALFORMED_JSON: 1}
    query = (
        "SELECT is_whole, value, value_bytes, value_sha256, key, key_bytes, header_count,"
        " reason FROM dead_letter ORDER BY record_offset"
    )
    untold = (None, None, b"key", None, None, "malformed_json")
    assert await rows(connection, query) == [
        (True, LARGE, *untold),
        (True, LARGE, *untold),
        (
            *(False, LARGE[:1_024], 5_003, sha256(LARGE + b"end").digest()),
            *(b"k" * 1_024, 3_000, 100, "malformed_json"),
        ),
        (True, b"small", *untold),
    ]
    kept = "SELECT length(headers::text), headers ->> 0 FROM dead_letter WHERE NOT is_whole"
    [(length, first)] = await rows(connection, kept)
    assert isinstance(length, int)
    assert KEPT_BYTES - 50 < length <= KEPT_BYTES
    assert first == '["name-0", "dmFsdWU="]'


@pytest.mark.parametrize(
    "fields",
    [
        {"key": b"k" * 1_025},
        {"headers": (("n" * 1_100, None),)},
        {"headers": (("", None),) * 200},
    ],
    ids=["key", "name", "headers"],
)
async def test_what_is_large_by_its_key_or_headers_counts_too(
    replica: Replica, connection: Connection, fields: dict[str, object]
) -> None:
    letters = [record(offset, None, **fields) for offset in range(3)]
    async with aclosing(replica(Allowance(letters=1))) as sink:
        await sink.flush(flush_of(letters))
    assert await rows(connection, WHOLE) == [(0,)]


async def test_bytes_are_bounded_too_and_one_letter_over_the_bound_costs_smaller_ones_nothing(
    replica: Replica, connection: Connection
) -> None:
    async with aclosing(replica(Allowance(bytes=16_000))) as sink:
        await sink.flush(flush_of([LARGE, LARGE * 4, LARGE, LARGE, LARGE]))
    assert await rows(connection, WHOLE) == [(0,), (2,), (3,)]


async def test_nothing_is_cut_without_a_bound(replica: Replica, connection: Connection) -> None:
    async with aclosing(replica(Allowance())) as sink:
        await sink.flush(flush_of([LARGE * 100] * 20))
    assert len(await rows(connection, WHOLE)) == 20
    assert await rows(connection, "SELECT * FROM dead_letter_hour") == []


async def test_partitions_and_replicas_share_what_a_reason_a_topic_and_an_hour_may_take(
    replica: Replica, connection: Connection
) -> None:
    bound = Allowance(letters=3)
    async with aclosing(replica(bound)) as one, aclosing(replica(bound)) as other:
        await one.flush(flush_of([LARGE] * 2))
        outcome = await other.flush(flush_of([LARGE, LARGE, ARRAY], partition=1))
        assert outcome.cut == {Reason.MALFORMED_JSON: 1}
        await one.flush(flush_of([LARGE], stream=VEHICLE))
    # One that is restarted an hour later begins anew.
    await connection.execute("UPDATE dead_letter_hour SET hour = hour - interval '1 hour'")
    async with aclosing(replica(bound)) as restarted:
        outcome = await restarted.flush(flush_of([LARGE] * 4, believed=2))
        assert outcome.cut == {Reason.MALFORMED_JSON: 1}
        outcome = await restarted.flush(flush_of([LARGE], believed=6))
        assert outcome.cut == {Reason.MALFORMED_JSON: 1}
    hours = (
        "SELECT topic, reason, partition, letters, bytes FROM dead_letter_hour"
        " ORDER BY hour, topic, reason, partition"
    )
    # 3 is the length of the key.
    assert await rows(connection, hours) == [
        ("telemetry.meter", "malformed_json", 0, 2, 2 * 5_003),
        ("telemetry.meter", "malformed_json", 1, 1, 5_003),
        ("telemetry.meter", "not_an_object", 1, 1, len(ARRAY) + 3),
        ("telemetry.vehicle", "malformed_json", 0, 1, 5_003),
        ("telemetry.meter", "malformed_json", 0, 3, 3 * 5_003),
    ]


async def test_a_flush_does_not_wait_for_that_of_another_partition(
    replica: Replica, connection: Connection, database_url: str
) -> None:
    async with aclosing(replica(Allowance(letters=3))) as sink:
        await sink.flush(flush_of([LARGE]))
        async with (
            await AsyncConnection.connect(database_url) as hanging,
            aclosing(replica(Allowance(letters=3))) as other,
        ):
            await hanging.execute("UPDATE dead_letter_hour SET letters = 3")
            await other.flush(flush_of([LARGE], partition=1))
    assert await rows(connection, WHOLE) == [(0,), (0,)]


async def test_what_is_not_committed_spends_nothing(
    replica: Replica, connection: Connection
) -> None:
    async with aclosing(replica(Allowance(letters=1))) as sink:
        with pytest.raises(Fenced):
            await sink.flush(flush_of([LARGE], believed=7))
        await connection.execute("ALTER TABLE dead_letter ADD CONSTRAINT c CHECK (key <> 'key')")
        with pytest.raises(Exception, match="violates check constraint"):
            await sink.flush(flush_of([LARGE]))
        await connection.execute("ALTER TABLE dead_letter DROP CONSTRAINT c")
        assert (await sink.flush(flush_of([LARGE]))).cut == Counter()


async def test_letters_past_the_retention_are_deleted_by_pages_those_of_other_groups_are_not(
    connection: Connection,
) -> None:
    await connection.execute(
        "INSERT INTO dead_letter (consumer_group, topic, partition, record_offset, reason, detail,"
        " dead_lettered_at, redriven_at) SELECT g, 'a', 0, n, 'empty_value', '', now() - n *"
        " interval '1 hour', CASE WHEN n % 2 = 0 THEN now() END"
        " FROM generate_series(1, 2500) AS n, unnest(ARRAY['test-group', 'another']) AS g"
    )
    assert await expire(connection, GROUP, retention_days=0) == 0
    assert await expire(connection, GROUP, retention_days=10) == 2_500 - 239
    left = "SELECT consumer_group, max(record_offset) FROM dead_letter GROUP BY 1 ORDER BY 1"
    assert await rows(connection, left) == [("another", 2_500), (GROUP, 239)]


async def test_what_was_counted_of_hours_that_are_over_is_forgotten(
    connection: Connection,
) -> None:
    for hours, group in ((0, GROUP), (23, GROUP), (25, GROUP), (25, "another")):
        await connection.execute(
            "INSERT INTO dead_letter_hour VALUES (%s, 'a', 'too_old', %s, 0, 1, 1)",
            [group, NOW - timedelta(hours=hours)],
        )
    await expire(connection, GROUP, retention_days=90)
    left = "SELECT consumer_group, count(*) FROM dead_letter_hour GROUP BY 1 ORDER BY 1"
    assert await rows(connection, left) == [("another", 1), (GROUP, 2)]


async def test_letters_of_an_older_schema_are_whole(
    replica: Replica, connection: Connection
) -> None:
    for column in ("is_whole", "key_bytes", "value_bytes", "value_sha256", "header_count"):
        await connection.execute(f"ALTER TABLE dead_letter DROP COLUMN {column}")
    await connection.execute("DROP TABLE dead_letter_hour, schema_version")
    await connection.execute(
        "INSERT INTO dead_letter VALUES ('test-group', 'a', 0, 1, 'k', 'v', '[]', now(), 'r', 'd')"
    )
    await apply_schema(connection)
    assert await check_schema(connection) == []
    assert await rows(connection, WHOLE) == [(1,)]
    async with aclosing(replica(Allowance(letters=1))) as sink:
        assert (await sink.flush(flush_of([LARGE] * 2))).cut.total() == 1
