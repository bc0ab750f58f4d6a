"""The schema on a real PostgreSQL."""

import asyncio
import os
import re
import signal
import subprocess
import sys

import psycopg
import pytest

from consumer.postgres import schema
from consumer.postgres.connection import Connection, connect
from consumer.postgres.migrations import objects_text
from consumer.postgres.schema import apply_schema, check_schema
from consumer.settings import DatabaseSettings
from deploy.replica import PATIENCE_S, ROOT
from runtime.postgres import locks
from tests.integration.conftest import rows


async def test_applying_twice_and_at_once_changes_nothing(
    database_settings: DatabaseSettings, connection: Connection
) -> None:
    replicas = [await connect(database_settings) for _ in range(3)]
    await asyncio.gather(*(apply_schema(replica) for replica in replicas))
    assert await check_schema(connection) == []
    for replica in replicas:
        await replica.close()


async def test_a_schema_whose_name_needs_quotes_is_checked_too(
    database_url: str, connection: Connection
) -> None:
    await connection.execute('CREATE SCHEMA "Wat""t"')
    async with await psycopg.AsyncConnection.connect(
        f"{database_url}?options=-csearch_path%3D%22Wat%22%22t%22", autocommit=True
    ) as quoted:
        await apply_schema(quoted)
        assert await check_schema(quoted) == []


async def test_a_second_apply_says_that_it_waits_and_outlasts_the_limits_of_its_session(
    database_url: str, connection: Connection
) -> None:
    limits = {"database_statement_timeout_s": 1, "database_lock_timeout_s": 1}
    second = await connect(
        DatabaseSettings.model_validate({"database_url": database_url, **limits})
    )
    told: list[str] = []
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [locks.SCHEMA])
        applying = asyncio.create_task(apply_schema(second, tell=told.append))
        while not await rows(
            connection,
            "SELECT FROM pg_stat_activity WHERE wait_event = 'advisory'"
            " AND datname = current_database()"
            " AND clock_timestamp() - query_start > interval '1.2 s'",
        ):
            assert not applying.done()
            await connection.execute("SELECT pg_stat_clear_snapshot()")
            await asyncio.sleep(0.05)
    await applying
    await second.close()
    assert told == ["another `schema apply`, `check`, `roles` or `rollback` is running, waiting"]


def test_a_second_apply_ends_at_once_when_it_is_interrupted(database_url: str) -> None:
    """Ctrl-C in a terminal is SIGINT to the process."""
    with psycopg.connect(database_url) as first:
        first.execute("SELECT pg_advisory_xact_lock(%s)", [locks.SCHEMA])
        second = subprocess.Popen(
            [sys.executable, "-m", "consumer", "schema", "apply"],
            env=os.environ | {"DATABASE_URL": database_url},
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        with second:
            assert second.stderr is not None
            assert "waiting" in second.stderr.readline()
            second.send_signal(signal.SIGINT)
            said = second.stderr.read()
            assert second.wait(PATIENCE_S) != 0
        assert "Traceback" not in said
        waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        assert first.execute(waiting).fetchall() == []


async def test_a_check_leaves_nothing_behind(connection: Connection) -> None:
    await check_schema(connection)
    found = await rows(connection, "SELECT 1 FROM pg_namespace WHERE nspname LIKE 'wattline%'")
    assert found == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("DROP TABLE dead_letter", "dead_letter|index dead_letter_by_time"),
        ("DROP INDEX charging_session_active", "index charging_session_active"),
        ("DROP TRIGGER keep_meter_facts ON meter", "trigger keep_meter_facts"),
        ("ALTER DOMAIN device_id DROP CONSTRAINT device_id_check", "type device_id"),
        ("ALTER TABLE meter_history ALTER voltage TYPE real", "meter_history"),
        ("ALTER TABLE vehicle_history DROP CONSTRAINT vehicle_history_pkey", "vehicle_history"),
        ("ALTER TABLE meter_current_state ADD COLUMN extra text", "meter_current_state"),
        (
            'ALTER TABLE meter_current_state ALTER meter_id TYPE text COLLATE "default"',
            "meter_current_state",
        ),
        ("ALTER TABLE meter_current_state SET (fillfactor = 100)", "meter_current_state"),
        (
            "ALTER TABLE vehicle_meter_assignment DROP CONSTRAINT one_meter_at_a_time",
            "vehicle_meter_assignment",
        ),
        (
            (
                "ALTER TABLE charging_session DROP CONSTRAINT meter_in_one_session,"
                " ADD EXCLUDE USING gist (exactly(meter_id) WITH =, during WITH -|-)"
            ),
            "charging_session",
        ),
        ("ALTER TABLE charging_session ALTER during DROP EXPRESSION", "charging_session"),
        ("ALTER TABLE charging_session ALTER session_id DROP IDENTITY", "charging_session"),
        ("ALTER TABLE rollup_due ALTER devices SET STORAGE EXTENDED", "rollup_due"),
        ("DROP VIEW newest_facts", "view newest_facts"),
        (
            "REVOKE SELECT ON schema_version FROM PUBLIC",
            "grant of SELECT on schema_version to PUBLIC",
        ),
        # A type that is another for the catalogue is another for what returns it.
        ("ALTER TYPE text_range RENAME TO other", r"type text_range|function exactly\(text\)"),
        (
            "ALTER FUNCTION vehicles_noted RENAME TO other",
            r"function vehicles_noted\(text\[\], text\[\], integer\[\]\)",
        ),
        ("ALTER FUNCTION exactly SET work_mem = '1MB'", r"function exactly\(text\)"),
        (
            (
                "CREATE OR REPLACE FUNCTION exactly(id text) RETURNS text_range LANGUAGE sql"
                " IMMUTABLE STRICT PARALLEL SAFE RETURN text_range(id, id, '(]')"
            ),
            r"function exactly\(text\)",
        ),
        (
            (
                "CREATE OR REPLACE FUNCTION microseconds(length interval) RETURNS numeric"
                " LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
            ),
            r"function microseconds\(interval\)",
        ),
    ],
)
async def test_a_difference_is_named(connection: Connection, change: str, named: str) -> None:
    await connection.execute(change)
    differences = await check_schema(connection)
    assert differences
    assert all(re.match(f"(?:{named}):", line) for line in differences)


# The schema has none of these kinds, but may have some again.
STATE = "CREATE TYPE running AS (total double precision);"
AGGREGATE = """
CREATE FUNCTION add_to(before running, kwh double precision) RETURNS running LANGUAGE plpgsql
AS 'BEGIN before.total := before.total + kwh; RETURN before; END';
CREATE AGGREGATE total(double precision) (SFUNC = add_to, STYPE = running, INITCOND = '(0)');
"""


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("ALTER TYPE running ADD ATTRIBUTE extra text", "type running"),
        (
            (
                "CREATE OR REPLACE AGGREGATE total(double precision)"
                " (SFUNC = add_to, STYPE = running)"
            ),
            r"aggregate total\(double precision\)",
        ),
    ],
)
async def test_a_difference_of_a_composite_type_or_an_aggregate_is_named(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, change: str, named: str
) -> None:
    text = objects_text() + STATE + AGGREGATE
    monkeypatch.setattr(schema, "objects_text", lambda: text)
    await connection.execute(STATE + AGGREGATE)
    assert await check_schema(connection) == []
    await connection.execute(change)
    differences = await check_schema(connection)
    assert differences
    assert all(re.match(f"(?:{named}):", line) for line in differences)


async def test_a_grant_of_the_schema_is_made_again_and_those_of_the_operator_are_left_alone(
    connection: Connection,
) -> None:
    await connection.execute(
        "REVOKE SELECT ON schema_version FROM PUBLIC; GRANT SELECT ON meter TO PUBLIC;"
        " GRANT ALL ON meter_history TO pg_monitor"
    )
    assert await check_schema(connection) == [
        "grant of SELECT on schema_version to PUBLIC: is not there"
    ]
    await apply_schema(connection)
    assert await check_schema(connection) == []
    await connection.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
    assert await check_schema(connection) == []
    kept = "SELECT has_table_privilege('pg_monitor', 'meter_history', 'INSERT')"
    assert await rows(connection, kept) == [(True,)]


async def test_another_definition_of_a_view_is_a_difference(connection: Connection) -> None:
    asked = "SELECT rtrim(pg_get_viewdef('newest_facts'::regclass), ';')"
    [(body,)] = await rows(connection, asked)
    await connection.execute(
        f"CREATE OR REPLACE VIEW newest_facts AS SELECT * FROM ({body}) AS all_of_it WHERE false"
    )
    differences = await check_schema(connection)
    assert {line.split(":")[0] for line in differences} == {"view newest_facts"}


async def test_what_devices_need_not_tell_may_be_null_in_an_older_schema_too(
    connection: Connection,
) -> None:
    await connection.execute(
        "CREATE TABLE one_month PARTITION OF vehicle_history"
        " FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')"
    )
    for table, columns in (
        ("meter_history", ["voltage"]),
        ("meter_current_state", ["voltage"]),
        ("vehicle_history", ["soc", "battery_temp"]),
        ("vehicle_current_state", ["soc", "battery_temp"]),
    ):
        for column in columns:
            await connection.execute(f"ALTER TABLE {table} ALTER {column} SET NOT NULL")
    assert len(await check_schema(connection)) == 12
    await connection.execute("DROP TABLE schema_version")
    await apply_schema(connection)
    assert await check_schema(connection) == []
    await connection.execute(
        "INSERT INTO vehicle_history VALUES ('veh-1', '2026-01-15', NULL, 0.5, NULL)"
    )
