"""What is changed by hand, or entered later, is noted for the rollups; what is inserted is not."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from consumer.flush.sink import Sink
from consumer.postgres.connection import Connection
from consumer.postgres.days import make_days
from telemetry.streams import METER, STREAMS
from tests.integration.conftest import NOW, flush_of, meter_value, rows

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
# The third hour of a day, and a day of whole hours before.
THEN = NOW.replace(hour=2, minute=0, second=0) - 3 * DAY
FIRST_DAY = THEN.replace(hour=0) - 2 * DAY

Noted = list[tuple[str, dict[str, list[int]]]]


def number(at: datetime) -> int:
    """Return which hour since 1970 a time is in, if it begins it."""
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)) / HOUR)


@pytest.fixture
async def connection(connection: Connection) -> Connection:
    """Lend a session; both histories have a few days, and nothing is noted."""
    today = number(NOW) // 24
    for stream in STREAMS:
        await make_days(connection, stream, range(today - 5, today + 1))
    return connection


async def stored(connection: Connection, device: str, *times: datetime, kwh: float = 1) -> None:
    for at in times:
        await connection.execute(
            "INSERT INTO meter_history VALUES (%s, %s, %s, 230)", [device, at, kwh]
        )


async def notes(connection: Connection) -> Noted:
    """Take all notes away, and return each one's stream, and its hours by device."""
    cursor = await connection.execute(
        "WITH taken AS (DELETE FROM rollup_due RETURNING *)"
        " SELECT stream, devices, hours FROM taken ORDER BY stream, due_id"
    )
    found: Noted = []
    for stream, devices, hours in await cursor.fetchall():
        by_device: dict[str, list[int]] = {}
        for device, hour in sorted(zip(devices, hours, strict=True)):
            by_device.setdefault(device, []).append(hour)
        found.append((stream, by_device))
    return found


def day_table(at: datetime) -> str:
    return f"meter_history_{at:%Y%m%d}"


# History


async def test_a_flush_writes_its_own_note_only(sink: Sink, connection: Connection) -> None:
    # The day of the first is made by the flush, with its triggers.
    values = [meter_value("mtr-1", ago=30 * DAY), meter_value("mtr-2")]
    await sink.flush(flush_of(values))
    assert len(await notes(connection)) == 1
    # Copies: nothing is stored.
    outcome = await sink.flush(flush_of([*values, meter_value("mtr-3")], believed=2))
    assert (outcome.stored, outcome.duplicates) == (1, 2)
    assert len(await notes(connection)) == 1


async def test_an_insert_by_hand_notes_nothing(connection: Connection) -> None:
    await stored(connection, "mtr-1", THEN)
    await connection.execute(
        "INSERT INTO meter_history VALUES ('mtr-1', %s, 1, 1) ON CONFLICT DO NOTHING", [THEN]
    )
    await connection.execute(
        "INSERT INTO vehicle_history VALUES ('veh-1', %s, 1, 1, 1)"
        " ON CONFLICT (vehicle_id, recorded_at) DO UPDATE SET soc = 2",
        [THEN],
    )
    assert await notes(connection) == []


async def test_deleted_readings_are_noted_with_the_first_hour_of_each_day(
    connection: Connection,
) -> None:
    edge = timedelta(microseconds=1)
    # On the hour a reading belongs to the hour that it ends, and at midnight to the day.
    await stored(connection, "mtr-1", THEN, THEN + edge, THEN + HOUR, THEN + DAY)
    await stored(connection, "mtr-2", THEN + edge, THEN.replace(hour=0) + DAY)
    await stored(connection, "kept", THEN)
    await connection.execute("DELETE FROM meter_history WHERE meter_id <> 'kept'")
    hour = number(THEN)
    assert await notes(connection) == [("meter", {"mtr-1": [hour - 1, hour + 23], "mtr-2": [hour]})]
    await connection.execute("DELETE FROM meter_history WHERE meter_id = 'never-heard'")
    assert await notes(connection) == []


async def test_a_vehicles_deleted_readings_are_noted_as_a_vehicles(connection: Connection) -> None:
    await connection.execute("INSERT INTO vehicle_history VALUES ('veh-1', %s, 1, 1, 1)", [THEN])
    await connection.execute("UPDATE vehicle_history SET kwh_delivered_dc = 2")
    await connection.execute("DELETE FROM vehicle_history")
    noted = ("vehicle", {"veh-1": [number(THEN) - 1]})
    assert await notes(connection) == [noted, noted]


async def test_a_changed_energy_is_noted_and_another_measure_is_not(connection: Connection) -> None:
    await stored(connection, "mtr-1", THEN)
    await stored(connection, "mtr-2", THEN)
    await connection.execute("UPDATE meter_history SET voltage = 1, ingested_at = now()")
    assert await notes(connection) == []
    await connection.execute(
        "UPDATE meter_history SET kwh_consumed_ac = CASE meter_id WHEN 'mtr-1' THEN 2 ELSE 1 END"
    )
    assert await notes(connection) == [("meter", {"mtr-1": [number(THEN) - 1]})]


async def test_a_reading_that_moves_to_another_day_is_noted_at_both(connection: Connection) -> None:
    await stored(connection, "mtr-1", THEN)
    await connection.execute(
        "UPDATE meter_history SET recorded_at = recorded_at - interval '1 day'"
    )
    hour = number(THEN) - 1
    assert await notes(connection) == [("meter", {"mtr-1": [hour - 24, hour]})]
    await connection.execute("UPDATE meter_history SET meter_id = 'mtr-2'")
    assert await notes(connection) == [("meter", {"mtr-1": [hour - 24], "mtr-2": [hour - 24]})]


async def test_a_change_to_a_days_own_table_is_noted_too(connection: Connection) -> None:
    await stored(connection, "mtr-1", THEN)
    for change in (
        f"UPDATE {day_table(THEN)} SET kwh_consumed_ac = 2",
        f"DELETE FROM {day_table(THEN)}",
    ):
        await connection.execute(change)
        assert await notes(connection) == [("meter", {"mtr-1": [number(THEN) - 1]})]
    await connection.execute(f"COPY {day_table(THEN)} FROM PROGRAM 'true'")
    assert await notes(connection) == []


async def test_a_day_that_goes_is_not_noted(connection: Connection) -> None:
    await stored(connection, "mtr-1", THEN, THEN + DAY)
    await connection.execute(f"ALTER TABLE meter_history DETACH PARTITION {day_table(THEN)}")
    await connection.execute(f"DROP TABLE {day_table(THEN)}")
    await connection.execute("TRUNCATE meter_history")
    assert await notes(connection) == []
    # A day that is made again is watched again.
    await make_days(connection, METER, [number(THEN) // 24])
    await stored(connection, "mtr-1", THEN)
    await connection.execute(f"DELETE FROM {day_table(THEN)}")
    assert len(await notes(connection)) == 1


# Assignments and sessions

BONDS = pytest.mark.parametrize("table", ["charging_session", "vehicle_meter_assignment"])


async def bound(
    connection: Connection, table: str, start: datetime, end: datetime | None = None
) -> None:
    await connection.execute(
        f"INSERT INTO {table} (vehicle_id, meter_id, started_at, ended_at)"
        " VALUES ('veh-1', 'mtr-1', %s, %s)",
        [start, end],
    )


def both(
    at: datetime, meters: Sequence[str] = ("mtr-1",)
) -> list[tuple[str, dict[str, list[int]]]]:
    """Return the notes of the meters and the vehicle from a time on."""
    hours = [number(at)]
    return [("meter", dict.fromkeys(meters, hours)), ("vehicle", {"veh-1": hours})]


@BONDS
async def test_a_bond_is_noted_from_its_start_on_when_it_is_entered_and_removed(
    connection: Connection, table: str
) -> None:
    # It begins after the hour: the reading on the hour is not in it.
    await bound(connection, table, THEN, THEN + HOUR)
    assert await notes(connection) == both(THEN)
    await connection.execute(f"DELETE FROM {table}")
    # Of the vehicle itself: nothing says any more that the meter served it.
    assert await notes(connection) == both(THEN)
    await connection.execute(f"DELETE FROM {table}")
    assert await notes(connection) == []


@BONDS
@pytest.mark.parametrize(
    ("change", "start"),
    [
        ("ended_at = NULL", 6),
        ("ended_at = ended_at - interval '2 hours'", 4),
        ("ended_at = ended_at + interval '2 hours'", 6),
        ("started_at = started_at - interval '2 hours'", -2),
        ("started_at = started_at + interval '2 hours'", 0),
        ("started_at = started_at + interval '2 hours', ended_at = NULL", 0),
        ("ended_at = ended_at", None),
    ],
)
async def test_a_changed_bond_is_noted_from_where_it_differs(
    connection: Connection, table: str, change: str, start: int | None
) -> None:
    await bound(connection, table, THEN, THEN + 6 * HOUR)
    await notes(connection)
    await connection.execute(f"UPDATE {table} SET {change}")
    assert await notes(connection) == ([] if start is None else both(THEN + start * HOUR))


@BONDS
async def test_the_end_of_what_ran_is_noted_there(connection: Connection, table: str) -> None:
    await bound(connection, table, THEN)
    await notes(connection)
    await connection.execute(f"UPDATE {table} SET ended_at = %s", [THEN + 5 * HOUR])
    assert await notes(connection) == both(THEN + 5 * HOUR)


@BONDS
async def test_both_meters_of_a_changed_bond_are_noted(connection: Connection, table: str) -> None:
    await bound(connection, table, THEN, THEN + HOUR)
    await notes(connection)
    await connection.execute(f"UPDATE {table} SET meter_id = 'mtr-2'")
    assert await notes(connection) == both(THEN, ["mtr-1", "mtr-2"])


@BONDS
async def test_times_that_history_cannot_have_are_noted_within_it(
    connection: Connection, table: str
) -> None:
    await bound(connection, table, datetime(9000, 1, 1, tzinfo=UTC))
    [(_, hours), _] = await notes(connection)
    assert abs(hours["mtr-1"][0] - number(NOW)) <= 1
    await connection.execute(
        f"UPDATE {table} SET started_at = '-infinity', ended_at = '0005-01-01 BC'"
    )
    assert await notes(connection) == both(datetime(2000, 1, 1, tzinfo=UTC))


async def test_thousands_of_assignments_are_one_note_of_each_stream(connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at)"
        " SELECT 'veh-' || n, 'mtr-' || n, %s FROM generate_series(1, 5000) AS n",
        [THEN],
    )
    found = await notes(connection)
    assert [(stream, len(devices)) for stream, devices in found] == [
        ("meter", 5_000),
        ("vehicle", 5_000),
    ]
    assert all(hours == [number(THEN)] for _, devices in found for hours in devices.values())


# Facts


async def seen(connection: Connection, device: str) -> None:
    await connection.execute(
        "INSERT INTO meter_current_state VALUES (%s, %s, 1, 230, now())", [device, THEN]
    )


async def test_a_first_registration_concerns_all_that_is_stored(connection: Connection) -> None:
    await seen(connection, "heard")
    await connection.execute("INSERT INTO meter (meter_id, capacity_kw) VALUES ('heard', 11)")
    assert await notes(connection) == [("meter", {"heard": [number(FIRST_DAY)]})]
    await connection.execute("INSERT INTO meter (meter_id, capacity_kw) VALUES ('new', 11)")
    [(_, hours)] = await notes(connection)
    assert abs(hours["new"][0] - (number(NOW) - 24)) <= 1


async def test_a_vehicle_of_which_something_is_kept_counts_as_heard(connection: Connection) -> None:
    # Its meter has sent readings, and the vehicle none.
    none = ["{" + ",".join(["0"] * 24) + "}"] * 5
    await connection.execute(
        "INSERT INTO vehicle_day VALUES ('veh-1', %s, %s, %s, %s, %s, %s, '{}', '{}', '{}', '{}')",
        [THEN.date(), *none],
    )
    await connection.execute(
        "INSERT INTO vehicle (vehicle_id, reports_only_while_charging) VALUES ('veh-1', true)"
    )
    assert await notes(connection) == [("vehicle", {"veh-1": [number(FIRST_DAY)]})]


async def test_a_registration_that_says_what_holds_anyway_is_not_noted(
    connection: Connection,
) -> None:
    await seen(connection, "mtr-1")
    await connection.execute("INSERT INTO meter (meter_id, label) VALUES ('mtr-1', 'yard')")
    await connection.execute("UPDATE meter SET label = 'roof'")
    await connection.execute("DELETE FROM meter")
    assert await notes(connection) == []


async def test_facts_are_noted_from_the_time_on_from_which_they_hold(
    connection: Connection,
) -> None:
    await seen(connection, "mtr-1")
    await connection.execute("INSERT INTO meter (meter_id) VALUES ('mtr-1')")
    half_past = timedelta(minutes=30)
    await connection.execute(
        "UPDATE meter SET capacity_kw = 11, valid_from = %s", [THEN + half_past]
    )
    assert await notes(connection) == [("meter", {"mtr-1": [number(THEN)]})]
    # Corrected in place.
    await connection.execute("UPDATE meter SET capacity_kw = 22")
    assert await notes(connection) == [("meter", {"mtr-1": [number(THEN)]})]
    # A reading just after it covered a quarter of an hour before it.
    await connection.execute(
        "UPDATE meter SET reading_interval_seconds = 900, valid_from = %s", [THEN + 4 * HOUR]
    )
    assert await notes(connection) == [("meter", {"mtr-1": [number(THEN) + 3]})]
    # Facts that are taken back.
    await connection.execute("DELETE FROM meter")
    assert await notes(connection) == [("meter", {"mtr-1": [number(THEN)]})]


async def test_facts_that_are_changed_by_hand_are_noted(connection: Connection) -> None:
    await seen(connection, "mtr-1")
    await connection.execute("INSERT INTO meter (meter_id, capacity_kw) VALUES ('mtr-1', 11)")
    for change in (
        "UPDATE device_facts SET capacity_kw = 22",
        "TRUNCATE meter",
    ):
        await notes(connection)
        await connection.execute(change)
        assert await notes(connection) == [("meter", {"mtr-1": [number(FIRST_DAY)]})]


async def test_thousands_of_registrations_are_one_note(connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO meter (meter_id, capacity_kw)"
        " SELECT 'mtr-' || n, 11 FROM generate_series(1, 5000) AS n"
    )
    [(stream, devices)] = await notes(connection)
    assert (stream, len(devices)) == ("meter", 5_000)
    assert await rows(connection, "SELECT count(*) FROM device_facts") == [(5_000,)]


# Roles


async def test_a_role_without_rights_to_the_notes_writes_them_by_its_changes(
    connection: Connection,
) -> None:
    await stored(connection, "mtr-1", THEN)
    await seen(connection, "mtr-1")
    tables = "charging_session, device_facts, meter_history"
    await connection.execute("CREATE ROLE entering")
    try:
        await connection.execute(
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO entering;"
            " GRANT CREATE ON SCHEMA public TO entering; SET ROLE entering"
        )
        # A table of the same name that comes first in the role's path stays as it is.
        await connection.execute("CREATE TEMPORARY TABLE rollup_due (stream text)")
        await connection.execute("DELETE FROM meter_history")
        await bound(connection, "charging_session", THEN)
        await connection.execute(
            "INSERT INTO device_facts VALUES ('meter', 'mtr-1', '-infinity', 'register', 60)"
        )
        assert await rows(connection, "SELECT FROM pg_temp.rollup_due") == []
        # The functions write with the owner's rights, and are for the owner's triggers only.
        await connection.execute("CREATE TABLE own (LIKE charging_session)")
        for function in ("note_readings('meter')", "note_bonds('session_id')", "note_facts()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(
                    "CREATE TRIGGER own AFTER INSERT ON own REFERENCING NEW TABLE AS after"
                    f" FOR EACH STATEMENT EXECUTE FUNCTION {function}"
                )
        await connection.execute("RESET ROLE; DROP TABLE pg_temp.rollup_due")
        noted = [stream for stream, _ in await notes(connection)]
        assert noted == ["meter", "meter", "meter", "vehicle"]
    finally:
        await connection.execute("RESET ROLE; DROP OWNED BY entering; DROP ROLE entering")
