"""Migrations on a real PostgreSQL: a schema without a version is adopted, and keeps its rows."""

import asyncio

import psycopg
import pytest
from psycopg.errors import DivisionByZero

from consumer.errors import UnfitDatabase
from consumer.postgres import schema
from consumer.postgres.connection import Connection
from consumer.postgres.days import make_days
from consumer.postgres.migrations import Migration, migrations
from consumer.postgres.schema import apply_schema, check_schema, plan_schema
from runtime.postgres.schema_version import NEEDED, UnfitSchema, require_schema
from telemetry.streams import STREAMS
from tests.integration.conftest import another_schema, rows
from tests.integration.days import TODAY, make_days_as_before, number

AHEAD = range(number(TODAY) - 1, number(TODAY) + 3)
DATA = [
    "INSERT INTO meter (meter_id) VALUES ('mtr-1'), ('mtr-2')",
    "INSERT INTO vehicle (vehicle_id) VALUES ('veh-1')",
    (
        "INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at)"
        " VALUES ('veh-1', 'mtr-1', now())"
    ),
    (
        "INSERT INTO charging_session (vehicle_id, meter_id, started_at)"
        " VALUES ('veh-1', 'mtr-2', now())"
    ),
    "INSERT INTO meter_history VALUES ('mtr-1', now(), 5, 230), ('mtr-2', now(), 1, NULL)",
    "INSERT INTO meter_current_state VALUES ('mtr-1', now(), 5, 230, now())",
    "INSERT INTO rollup_due (stream, devices, hours) VALUES ('meter', '{mtr-1}', '{1}')",
]
TABLES = ["meter", "vehicle", "vehicle_meter_assignment", "charging_session", "meter_history"]
TABLES += ["meter_current_state", "rollup_due", "ingest_offset"]
# What replicas of before use stays, until a later migration drops it.
OF_BEFORE = {
    "aggregate register",
    "energy_rollup",
    "function check_notes",
    "function complete_a_day",
    "function fleet_performance",
    "function has_readings",
    "function last_reading",
    "function meter_energy",
    "function performance_status",
    "function register_step",
    "function roll_up",
    "function roll_up_day",
    "function share_of",
    "function span_energy",
    "function vehicle_energy",
    "function vehicle_performance",
    "rollup_day",
    "type register_state",
    "view device",
    "view reading",
}
# All that the catalogue says of the histories' days, but their names' places in it.
DAYS = """
SELECT class.relname, pg_get_expr(class.relpartbound, class.oid), class.reloptions::text,
       (SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull,
                                    attcollation::regcollation), ', ' ORDER BY attnum)
        FROM pg_attribute WHERE attrelid = class.oid AND attnum > 0),
       (SELECT string_agg(pg_get_constraintdef(oid), ', ' ORDER BY 1)
        FROM pg_constraint WHERE conrelid = class.oid AND contype <> 'n'),
       (SELECT string_agg(pg_get_indexdef(indexrelid), ', ' ORDER BY 1)
        FROM pg_index WHERE indrelid = class.oid),
       (SELECT string_agg(pg_get_triggerdef(oid), ', ' ORDER BY 1)
        FROM pg_trigger WHERE tgrelid = class.oid)
FROM pg_class AS class WHERE class.relispartition AND class.relkind = 'r' ORDER BY 1
"""


async def selected(connection: Connection, table: str) -> str:
    """Return the query of a table's rows by the columns that it has now."""
    [(columns,)] = await rows(
        connection,
        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute"
        f" WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped",
    )
    return f"SELECT {columns} FROM {table} ORDER BY 1"


async def test_a_database_without_a_version_becomes_what_a_new_one_is(
    database_url: str, connection: Connection, older: str
) -> None:
    await connection.execute("DROP SCHEMA public CASCADE")
    async with another_schema(database_url, "public", older) as adopted:
        await make_days_as_before(adopted, AHEAD)
        for statement in DATA:
            await adopted.execute(statement)
        stored = [await selected(adopted, table) for table in TABLES]
        before = [await rows(adopted, query) for query in stored]
        files = await rows(
            adopted, "SELECT relname, relfilenode FROM pg_class WHERE relispartition ORDER BY 1"
        )
        assert (await plan_schema(adopted)).missing == migrations()
        assert {f"migration {one.name}: is not applied" for one in migrations()} < set(
            await check_schema(adopted)
        )
        await apply_schema(adopted)
        after = [await rows(adopted, query) for query in stored]
        assert after == before
        # History was not written anew.
        assert files == await rows(
            adopted, "SELECT relname, relfilenode FROM pg_class WHERE relispartition ORDER BY 1"
        )
        facts = await schema._facts(adopted, "public")
        adopted_days = await rows(adopted, DAYS)
        await require_schema(adopted)
        await adopted.execute("DROP SCHEMA public CASCADE")
    async with another_schema(database_url, "public", "") as fresh:
        assert await apply_schema(fresh) == [f"created at version {NEEDED}"]
        for stream in STREAMS:
            await make_days(fresh, stream, AHEAD)
        wanted = await schema._facts(fresh, "public")
        assert wanted <= facts
        assert {name.split("(")[0] for name, _ in facts - wanted} == OF_BEFORE
        assert await rows(fresh, DAYS) == adopted_days
        assert len(adopted_days) > 4
        assert await apply_schema(fresh) == []


async def test_a_constraint_that_is_not_of_the_schema_is_left_alone(
    database_url: str, older: str
) -> None:
    theirs = (
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conname LIKE 'their_%' ORDER BY 1"
    )
    async with another_schema(database_url, "elsewhere", older) as connection:
        await connection.execute("INSERT INTO vehicle (vehicle_id) VALUES ('veh-1')")
        await connection.execute(
            "ALTER TABLE meter ADD CONSTRAINT their_meters CHECK (meter_id LIKE 'mtr-%');"
            " ALTER TABLE vehicle ADD CONSTRAINT their_next_vehicles"
            " CHECK (vehicle_id <> 'veh-1') NOT VALID"
        )
        before = await rows(connection, theirs)
        await apply_schema(connection)
        assert await rows(connection, theirs) == before
        assert [line.split(":")[0] for line in await check_schema(connection)] == [
            "meter",
            "vehicle",
        ]


async def test_a_migration_that_fails_leaves_those_before_it_done(
    database_url: str, older: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Migration(NEEDED + 1, "9999_broken", 0, "DROP TABLE meter CASCADE; SELECT 1 / 0")
    known = migrations()
    async with another_schema(database_url, "elsewhere", older) as connection:
        monkeypatch.setattr(schema, "migrations", lambda: (*known, broken))
        with pytest.raises(DivisionByZero):
            await apply_schema(connection)
        assert await rows(connection, "SELECT max(version) FROM schema_version") == [(NEEDED,)]
        assert await rows(connection, "SELECT count(*) FROM meter") == [(0,)]
        monkeypatch.setattr(schema, "migrations", lambda: known)
        await apply_schema(connection)
        assert await check_schema(connection) == []


async def test_a_schema_that_is_newer_than_the_code_is_left_alone(connection: Connection) -> None:
    await connection.execute("INSERT INTO schema_version VALUES (99, '0099_later', 0)")
    newer = f"the schema is at version 99, and this code knows versions up to {NEEDED}"
    for question in (apply_schema, check_schema):
        with pytest.raises(UnfitDatabase, match=newer):
            await question(connection)
    await require_schema(connection)  # replicas go on
    await connection.execute("UPDATE schema_version SET oldest_code = 98")
    with pytest.raises(UnfitSchema, match="run a newer release"):
        await require_schema(connection)


@pytest.mark.parametrize("change", ["DROP TABLE schema_version", "DELETE FROM schema_version"])
async def test_a_schema_without_a_version_is_too_old(connection: Connection, change: str) -> None:
    await connection.execute(change)
    with pytest.raises(UnfitSchema, match=r"schema is at version 0, .*: run `python -m consumer"):
        await require_schema(connection)


# As Flyway made it before version 5, and one of which only the columns' types differ.
FLYWAYS = (
    "CREATE TABLE schema_version (installed_rank integer PRIMARY KEY, version varchar(50),"
    " description varchar(200), type varchar(20), script varchar(1000), checksum integer,"
    " installed_by varchar(100), installed_on timestamp, execution_time integer, success boolean)"
)
OF_TEXT = "CREATE TABLE schema_version (version text, name text, oldest_code text)"


@pytest.mark.parametrize("text", [FLYWAYS, OF_TEXT])
async def test_a_table_of_versions_that_is_another_program_s_is_named_and_left_alone(
    database_url: str, text: str
) -> None:
    named = "the table schema_version is another program's"
    async with another_schema(database_url, "elsewhere", text) as connection:
        for question in (apply_schema, plan_schema, check_schema, require_schema):
            with pytest.raises(UnfitSchema, match=named) as raised:
                await question(connection)
            assert "\n" not in str(raised.value)
        tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'elsewhere'::regnamespace"
        assert await rows(connection, f"{tables} AND relkind = 'r'") == [(1,)]


async def test_what_waits_for_a_session_does_not_keep_others_waiting(
    database_url: str, older: str
) -> None:
    async with (
        another_schema(database_url, "elsewhere", older) as connection,
        await psycopg.AsyncConnection.connect(
            f"{database_url}?options=-csearch_path%3Delsewhere", autocommit=True
        ) as other,
    ):
        async with other.transaction():
            await other.execute("LOCK TABLE meter IN ROW EXCLUSIVE MODE")
            applying = asyncio.create_task(apply_schema(connection))
            async with await psycopg.AsyncConnection.connect(
                f"{database_url}?options=-csearch_path%3Delsewhere%20-clock_timeout%3D9s",
                autocommit=True,
            ) as writer:
                waits = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'meter'::regclass"
                while not await rows(writer, waits):
                    assert not applying.done()
                    await asyncio.sleep(0.02)
                # Behind the change that waits, until that gives up.
                await writer.execute("INSERT INTO meter (meter_id) VALUES ('mtr-1')")
                assert not applying.done()
        await applying
        assert await check_schema(connection) == []


FACTS = (
    "SELECT stream, device_id, valid_from::text, reading_kind, capacity_kw::text, register_step_kwh"
    " FROM device_facts ORDER BY 1, 2, 3"
)


async def test_what_devices_were_registered_as_holds_for_all_time_after_an_upgrade(
    database_url: str, older: str
) -> None:
    async with another_schema(database_url, "elsewhere", older) as connection:
        await connection.execute(
            "INSERT INTO meter (meter_id, reading_kind, capacity_kw) VALUES ('m', 'register', 22)"
        )
        await connection.execute("INSERT INTO vehicle (vehicle_id) VALUES ('v')")
        await connection.execute("GRANT SELECT, INSERT ON meter TO pg_monitor")
        await apply_schema(connection)
        registered = [
            ("meter", "m", "-infinity", "register", "22", 1.0),
            ("vehicle", "v", "-infinity", "interval", None, 1.0),
        ]
        assert await rows(connection, FACTS) == registered
        may = "SELECT has_table_privilege('pg_monitor', 'device_facts', {!r})"
        assert [await rows(connection, may.format(what)) for what in ("INSERT", "DELETE")] == [
            [(True,)],
            [(False,)],
        ]
        # Replicas of the release before know nothing of it.
        await connection.execute("UPDATE meter SET capacity_kw = 11, updated_at = now()")
        await connection.execute("DELETE FROM vehicle")
        assert await rows(connection, FACTS) == [("meter", "m", "-infinity", "register", "11", 1.0)]


async def test_the_facts_of_a_device_follow_its_row(connection: Connection) -> None:
    async def facts() -> list[tuple[str, str]]:
        found = await rows(connection, FACTS)
        return [(str(since), str(capacity)) for _, _, since, _, capacity, _ in found]

    await connection.execute("SET timezone = 'UTC'")
    await connection.execute("INSERT INTO meter (meter_id, capacity_kw) VALUES ('m', 11)")
    for day in (1, 2):
        await connection.execute(
            "UPDATE meter SET capacity_kw = capacity_kw * 2, valid_from = make_date(2026, 1, %s)",
            [day],
        )
    registered, first, second = (
        ("-infinity", "11"),
        ("2026-01-01 00:00:00+00", "22"),
        ("2026-01-02 00:00:00+00", "44"),
    )
    assert await facts() == [registered, first, second]
    await connection.execute("UPDATE meter SET label = 'bay 12'")
    assert await facts() == [registered, first, second]
    # The row is what the device is now, so what would follow it goes.
    await connection.execute("UPDATE meter SET valid_from = '2026-01-01Z'")
    assert await facts() == [registered, ("2026-01-01 00:00:00+00", "44")]
    await connection.execute("UPDATE meter SET meter_id = 'n'")
    assert await facts() == [("2026-01-01 00:00:00+00", "44")]
    await connection.execute("TRUNCATE meter")
    assert await facts() == []
