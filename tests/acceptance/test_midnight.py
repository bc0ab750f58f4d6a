"""A day begins that has no partition yet: the maintainer is as good as off."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg

from deploy.replica import Replica
from tests.acceptance.conftest import Environment, produce, query, until
from tests.acceptance.readings import meter_message
from tests.acceptance.series import DEAD, STORED

MADE_LATE = "telemetry_history_partitions_made_late_total"


def readings_from_now_on(count: int) -> Iterator[tuple[bytes, bytes]]:
    now = datetime.now(UTC)
    for number in range(count):
        at = now + timedelta(milliseconds=number)
        yield meter_message(f"mtr-{number % 100:05d}", at, number / 1_000)


def drop_the_days_from_today_on(environment: Environment) -> None:
    days = query(
        environment,
        "SELECT inhparent::regclass::text, inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent IN ('meter_history'::regclass, 'vehicle_history'::regclass)"
        "   AND right(inhrelid::regclass::text, 8)"
        "       >= to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')",
    )
    assert days
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        for history, day in days:
            connection.execute(f"ALTER TABLE {history} DETACH PARTITION {day}")
            connection.execute(f"DROP TABLE {day}")


def test_readings_of_a_day_without_a_partition_are_stored(
    start: Callable[..., Replica], environment: Environment
) -> None:
    replica = start(PARTITIONS_INTERVAL_S="86400")
    replica.wait_for("history_partitions_maintained", times=2)  # of meters and of vehicles
    produce(environment, "telemetry.meter", readings_from_now_on(500))
    until(lambda: replica.metric(STORED) == 500, what="the day is known to the replica")
    assert replica.metric(MADE_LATE) == 0
    drop_the_days_from_today_on(environment)
    produce(environment, "telemetry.meter", readings_from_now_on(1_000))
    until(lambda: replica.metric(STORED) == 1_500, what="all stored")
    assert query(environment, "SELECT count(*) FROM meter_history") == [(1_000,)]
    assert replica.metric(MADE_LATE) > 0
    assert replica.metric(DEAD) == 0
    assert not replica.events("database_unavailable")
    assert replica.stop() == 0
