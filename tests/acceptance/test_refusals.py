"""PostgreSQL refuses a statement while a replica runs: what is refused waits, all else goes on."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import SupportsIndex

import psycopg
import pytest
from aiokafka import TopicPartition
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from structlog.testing import capture_logs

from consumer.flush.sink import Sink
from deploy.replica import PATIENCE_S, Replica
from telemetry.streams import METER, VEHICLE
from tests.acceptance.conftest import Environment, Start, query, until
from tests.acceptance.member import a_member, eventually, send
from tests.acceptance.readings import meter_message, meter_messages, vehicle_messages
from tests.acceptance.series import DEAD, STORED
from tests.acceptance.work import ended, held

REFUSED = "telemetry_database_refused{"
# With these, and nothing more, a replica stores readings and rolls them up.
GRANTS = (
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
)


@pytest.fixture
def role(database_url: str) -> Iterator[str]:
    """A role that owns nothing: it may read and write, and make no days."""
    name = f"role_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        statements = ("CREATE ROLE {role} LOGIN PASSWORD 'secret'", *GRANTS)
        for text in statements:
            connection.execute(sql.SQL(text).format(role=sql.Identifier(name)))
        yield name
        for text in ("REASSIGN OWNED BY {role} TO CURRENT_USER", "DROP OWNED BY {role}"):
            connection.execute(sql.SQL(text).format(role=sql.Identifier(name)))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def change(environment: Environment, *statements: str) -> None:
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def checks(replica: Replica) -> dict[str, bool]:
    _, page = replica.get("/health/ready")
    found: dict[str, bool] = json.loads(page)["checks"]
    return found


def test_a_table_that_is_gone_keeps_its_own_stream_waiting_and_no_other(
    start: Start, environment: Environment
) -> None:
    replica = start(DATABASE_RETRY_MAX_S="0.5")
    replica.wait_for("partitions_opened")
    until(lambda: replica.get("/health/ready")[0] == 200, what="ready")
    change(environment, "ALTER TABLE meter_current_state RENAME TO elsewhere")
    meters, vehicles = (TopicPartition(stream.topic, 0) for stream in (METER, VEHICLE))
    send(environment, meters, meter_messages(100))
    line = replica.wait_for("database_refuses")
    assert line["sqlstate"] == "42P01"
    assert (line["work"], line["topic"], line["partition"]) == ("flush", METER.topic, 0)
    assert "meter_current_state" in line["error"]
    assert "runbook" in line["help"]
    for count in (100, 200):
        send(environment, vehicles, vehicle_messages(100))
        until(lambda count=count: replica.metric(STORED) == count, what="vehicles go on")  # type: ignore[misc]  # a lambda's default
        # It waits by itself, again and again: nothing of the replica flips meanwhile.
        retries = replica.metric("telemetry_flush_retries_total{")
        until(
            lambda retries=retries: replica.metric("telemetry_flush_retries_total{") > retries,  # type: ignore[misc]  # a lambda's default
            what="another try",
        )
        assert replica.metric(REFUSED) == 1
        assert replica.metric("telemetry_database_available") == 1
        assert checks(replica) == {
            "partitions_assigned": True,
            "database_fresh": True,
            "database_accepts": False,
        }
    change(environment, "ALTER TABLE elsewhere RENAME TO meter_current_state")
    until(lambda: replica.metric(STORED) == 300, what="it goes on by itself")
    replica.wait_for("database_accepts")
    until(lambda: replica.get("/health/ready")[0] == 200, what="ready again")
    assert replica.metric(REFUSED) == 0
    assert replica.metric(DEAD) == 0
    assert len(replica.events("database_refuses")) == 1
    assert not replica.events("database_unavailable")
    assert replica.stop() == 0


def test_a_day_that_may_not_be_made_keeps_the_partition_of_its_reading_waiting_alone(
    start: Start, environment: Environment, role: str
) -> None:
    """As with a role that owns nothing: its late readings need days that were not made ahead."""
    url = conninfo_to_dict(environment["DATABASE_URL"])
    # The days ahead are there, as its owner has made them.
    for stream in (METER, VEHICLE):
        for ahead in range(-1, 2):
            day = (datetime.now(UTC) + timedelta(days=ahead)).date()
            change(
                environment,
                f"CREATE TABLE {stream.history}_{day:%Y%m%d} PARTITION OF {stream.history}"
                f" FOR VALUES FROM ('{day} 00:00+00') TO ('{day + timedelta(days=1)} 00:00+00')",
            )
    host = f"{url['host']}:{url['port']}"
    replica = start(
        DATABASE_URL=f"postgresql://{role}:secret@{host}/{url['dbname']}",
        PARTITIONS_AHEAD_DAYS="1",
        DATABASE_RETRY_MAX_S="0.5",
    )
    replica.wait_for("partitions_opened")
    late = meter_message("mtr-late", datetime.now(UTC) - timedelta(days=40), 1.0)
    first, second = (TopicPartition(METER.topic, number) for number in range(2))
    send(environment, first, [late])
    line = replica.wait_for("database_refuses")
    assert (line["work"], line["topic"], line["partition"]) == ("flush", METER.topic, 0)
    assert (line["sqlstate"], line["role"]) == ("42501", role)
    assert "permission denied for function make_day" in line["error"]
    assert f"{datetime.now(UTC) - timedelta(days=40):%Y-%m-%d}" in line["doing"]
    assert "secret" not in str(replica.log())
    send(environment, second, meter_messages(100))
    send(environment, TopicPartition(VEHICLE.topic, 0), vehicle_messages(100))
    until(lambda: replica.metric(STORED) == 200, what="the others go on")
    assert replica.metric(REFUSED) == 1
    assert not replica.events("database_unavailable")
    change(environment, f"GRANT EXECUTE ON FUNCTION make_day TO {role}")
    until(lambda: replica.metric(STORED) == 201, what="it goes on by itself after the grant")
    replica.wait_for("database_accepts")
    assert replica.metric(DEAD) == 0
    assert replica.stop() == 0


async def test_what_is_refused_takes_no_memory_from_others_and_holds_up_no_rebalance(
    environment: Environment,
) -> None:
    # Less memory than the meters take that wait.
    async with a_member(environment, flush_interval_ms=50, buffer_max_bytes=1 << 20) as member:
        await eventually(lambda: len(member.schedule.owned) == 24, what="all opened")
        change(environment, "ALTER TABLE meter_current_state RENAME TO elsewhere")
        for number in range(4):
            send(environment, TopicPartition(METER.topic, number), meter_messages(1_500))
        refused = {"work": "flush", "topic": METER.topic, "sqlstate": "42P01"}
        await eventually(
            lambda: member.metric("telemetry_database_refused", **refused) == 4,
            what="all of them are refused",
        )
        send(environment, TopicPartition(VEHICLE.topic, 0), vehicle_messages(100))
        await eventually(lambda: ended(member, VEHICLE) == 100, what="vehicles go on")
        await eventually(lambda: held(member, METER) == 0, what="nothing is kept")
        with capture_logs() as logs:
            await member.pipeline.drain(PATIENCE_S)  # as at a rebalance
        assert not [line for line in logs if line["event"] == "drain_incomplete"]
        assert member.metric("telemetry_buffered_bytes") == 0
        assert member.metric("telemetry_database_refused", **refused) == 0
        change(environment, "ALTER TABLE elsewhere RENAME TO meter_current_state")
        await member.pipeline.assigned(
            {
                TopicPartition(stream.topic, number)
                for stream in (METER, VEHICLE)
                for number in range(12)
            }
        )
        await eventually(lambda: ended(member, METER) >= 6_000, what="meters are read again")
    stored, distinct = query(
        environment, "SELECT count(*), count(DISTINCT (meter_id, recorded_at)) FROM meter_history"
    )[0]
    assert stored == distinct > 0


class Turns(list[Sink]):
    """Idle sinks that take turns: a second try is never made by the sink of the first."""

    def pop(self, _: SupportsIndex = -1) -> Sink:
        return super().pop(0)


async def test_a_statement_that_no_connection_has_any_more_is_prepared_again_without_a_word(
    environment: Environment,
) -> None:
    place = TopicPartition(METER.topic, 0)
    async with a_member(environment, flush_interval_ms=50, flush_connections=2) as member:
        await eventually(lambda: len(member.schedule.owned) == 24, what="all opened")
        sinks = member.pipeline._idle = Turns(member.pipeline._idle)
        for count in range(1, 16):  # all that a flush asks for is prepared, on both connections
            send(environment, place, meter_messages(10))
            await eventually(lambda count=count: ended(member, METER) == 10 * count, what="stored")  # type: ignore[misc]  # a lambda's default
        await eventually(lambda: len(sinks) == 2, what="both are idle")
        for sink in sinks:
            kept = await sink._connection.get()
            # Within a function, where the driver does not see it.
            await kept.execute("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")
        with capture_logs() as logs:
            send(environment, place, meter_messages(10))
            await eventually(lambda: ended(member, METER) == 160, what="stored all the same")
        assert not [line for line in logs if line["event"].startswith("database")]
        assert member.metric("telemetry_flush_retries_total", cause="other") == 1
