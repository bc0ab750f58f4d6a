"""Work that is bounded: notes are worked off a second at a time, a device is read once."""

from datetime import timedelta

from tests.energy.answers import VALUES, by_fleet, one_by_one
from tests.energy.reference import HOUR_US
from tests.energy.worlds import DAY, DAY_US, Connection

SLOW = """
    CREATE OR REPLACE FUNCTION roll_up_day(
        of_stream text, of_day date, devices text[], hours integer[]
    ) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO rolled SELECT of_day, devices, hours;
        PERFORM pg_sleep(0.6);
    END
    $$
"""


def test_notes_are_worked_off_for_a_second_the_newest_days_first(connection: Connection) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute("CREATE TEMPORARY TABLE rolled (day date, devices text[], hours int[])")
        connection.execute(SLOW)
        noted = [(day, hour) for day in (3, 1, 2) for hour in (7, 5)]
        connection.execute(
            "INSERT INTO rollup_due (stream, devices, hours) VALUES ('meter', %s, %s)",
            [["mtr-1"] * len(noted), [day * 24 + hour for day, hour in noted]],
        )
        left = connection.execute("SELECT roll_up(100) AS taken").fetchone()
        assert left == {"taken": 100}  # more are left
        assert rolled(connection) == [(3, ["mtr-1"], [5]), (2, ["mtr-1"], [5])]
        rest = connection.execute("SELECT devices, hours, pairs FROM rollup_due").fetchall()
        assert rest == [{"devices": ["mtr-1"], "hours": [24 + 5], "pairs": 1}]
        assert connection.execute("SELECT roll_up(100) AS taken").fetchone() == {"taken": 1}
        assert rolled(connection)[2:] == [(1, ["mtr-1"], [5])]
        assert connection.execute("SELECT FROM rollup_due").fetchall() == []


def test_no_more_is_taken_than_a_second_could_be_enough_for(connection: Connection) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute(
            "INSERT INTO rollup_due (stream, devices, hours)"
            " SELECT 'meter', array_fill('mtr-1'::text, ARRAY[15000]), array_fill(0, ARRAY[15000])"
            " FROM generate_series(1, 5)"
        )
        taken = connection.execute("SELECT roll_up(100) AS taken").fetchone()
        assert taken == {"taken": 100}  # more are left
        assert len(connection.execute("SELECT FROM rollup_due").fetchall()) == 3


def test_many_spans_of_one_device_are_those_of_its_page(connection: Connection) -> None:
    """Sessions of minutes, assignments that are shared, of registers and interval devices."""
    with connection.transaction(force_rollback=True):
        for kind, meter in (("register", "mtr-1"), ("interval", "mtr-2")):
            connection.execute(
                "INSERT INTO meter (meter_id, reading_kind) VALUES (%s, %s)", [meter, kind]
            )
        minutes = range(180)
        with connection.cursor() as cursor:
            for stream, device, each in (
                ("meter", "mtr-1", 0.12),
                ("meter", "mtr-2", 0.0),
                *(("vehicle", f"veh-{n}", 0.0) for n in range(1, 4)),
            ):
                cursor.executemany(
                    f"INSERT INTO {stream}_history VALUES {VALUES[stream]}",
                    [
                        (device, DAY + timedelta(minutes=minute), 0.1 + minute * each)
                        for minute in minutes
                    ],
                )
        connection.execute(
            "INSERT INTO vehicle_current_state SELECT 'veh-' || n, now(), 50, 1, 20, now()"
            " FROM generate_series(1, 4) AS n"
        )
        for number in range(60):
            begun = DAY + timedelta(seconds=number * 150)
            connection.execute(
                "INSERT INTO charging_session (vehicle_id, meter_id, started_at, ended_at)"
                " VALUES (%s, %s, %s, %s)",
                [
                    f"veh-{1 + number % 3}",
                    f"mtr-{1 + number % 2}",
                    begun,
                    begun + timedelta(seconds=100),
                ],
            )
            connection.execute(
                "INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at, ended_at)"
                " VALUES (%s, %s, %s, %s)",
                [
                    f"veh-{1 + number % 4}",
                    f"mtr-{1 + number % 2}",
                    begun,
                    begun + timedelta(seconds=500),
                ],
            )
        for hours in (0, 0.5, 1):
            window = (DAY_US + int(hours * HOUR_US), DAY_US + 3 * HOUR_US)
            assert by_fleet(connection, *window) == one_by_one(connection, *window)


def rolled(connection: Connection) -> list[tuple[int, list[str], list[int]]]:
    """Return the days that were rolled up, as days since 1970, in the order in which they were."""
    rows = connection.execute("SELECT day - date '1970-01-01' AS day, devices, hours FROM rolled")
    return [(row["day"], row["devices"], row["hours"]) for row in rows]
