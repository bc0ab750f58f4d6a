"""Where a rollup may differ from history, case by case; `test_rollup` draws the rest."""

from datetime import timedelta
from typing import NamedTuple

from tests.energy.answers import VALUES, by_fleet, one_by_one, roll_up
from tests.energy.reference import HOUR_US
from tests.energy.worlds import DAY, DAY_US, MINUTE_US, Connection

DEVICE = {"meter": "mtr-1", "vehicle": "veh-1"}


class Batch(NamedTuple):
    """Readings of veh-1 or mtr-1, minutes from midnight on and kWh; rolled up, or not noted."""

    readings: list[tuple[float, float]]
    is_noted: bool = True
    stream: str = "vehicle"


def test_a_day_that_was_stored_by_hand_after_one_that_is_rolled_up(connection: Connection) -> None:
    register(connection, "interval", seconds=900)
    store(connection, Batch([(-70, 1.0), (-10, 1.0)]))
    store(connection, Batch([(10, 2.0), (70, 2.0)], is_noted=False))
    window = (DAY_US - 2 * HOUR_US, DAY_US + 2 * HOUR_US)
    assert by_fleet(connection, *window) == one_by_one(connection, *window)


def test_what_was_rolled_up_as_something_else_is_void(connection: Connection) -> None:
    register(connection, "interval", seconds=900)
    store(connection, Batch([(10, 1.0), (70, 1.0)]))
    register(connection, "interval", seconds=60)
    # As if the note had been worked off by a session that did not see the change yet.
    connection.execute("TRUNCATE rollup_due")
    window = (DAY_US, DAY_US + 2 * HOUR_US)
    assert by_fleet(connection, *window) == one_by_one(connection, *window)


def test_a_register_that_falls_a_little_at_the_first_reading_after_midnight(
    connection: Connection,
) -> None:
    register(connection, "register", seconds=60)
    store(connection, Batch([(-1, 10.0), (0.7, 9.95), (65, 10.02), (90, 11.0)]))
    for minutes in (-10, -0.5, 0, 0.5, 0.8):  # before it, and within its hour
        window = (DAY_US + round(minutes * MINUTE_US), DAY_US + 2 * HOUR_US)
        assert by_fleet(connection, *window) == one_by_one(connection, *window)


def test_a_meter_that_fell_a_little_before_the_session_began(connection: Connection) -> None:
    register(connection, "register", seconds=60, stream="meter")
    register(connection, "interval", seconds=60)
    store(connection, Batch([(0, 10.0), (0.5, 9.95), (65, 10.02)], stream="meter"))
    connection.execute(
        "INSERT INTO charging_session (vehicle_id, meter_id, started_at, ended_at)"
        " VALUES ('veh-1', 'mtr-1', %s, %s)",
        [DAY + timedelta(seconds=30), DAY + timedelta(minutes=80)],
    )
    for hours in (-1, 0):
        window = (DAY_US + hours * HOUR_US, DAY_US + 2 * HOUR_US)
        assert by_fleet(connection, *window) == one_by_one(connection, *window)


def test_a_reading_before_a_day_comes_after_its_first_one(connection: Connection) -> None:
    register(connection, "interval", seconds=900)
    store(connection, Batch([(10, 1.0)]))
    store(connection, Batch([(-2, 1.0)]))
    window = (DAY_US - HOUR_US, DAY_US + 2 * HOUR_US)
    assert by_fleet(connection, *window) == one_by_one(connection, *window)


def test_a_reading_comes_hours_before_the_first_one_of_a_day(connection: Connection) -> None:
    register(connection, "register", seconds=60)
    store(connection, Batch([(300, 1.0)]))
    store(connection, Batch([(150, 1.0)]))
    for hours in range(6):
        window = (DAY_US + hours * HOUR_US, DAY_US + 6 * HOUR_US)
        assert by_fleet(connection, *window) == one_by_one(connection, *window)


def test_a_reading_follows_one_of_the_hour_before(connection: Connection) -> None:
    register(connection, "interval", seconds=900)
    store(connection, Batch([(55, 1.0)]))
    store(connection, Batch([(65, 1.0)]))
    window = (DAY_US, DAY_US + 2 * HOUR_US)
    assert by_fleet(connection, *window) == one_by_one(connection, *window)


def register(connection: Connection, kind: str, *, seconds: int, stream: str = "vehicle") -> None:
    """Register the device."""
    connection.execute(
        f"INSERT INTO {stream} ({stream}_id, reading_kind, reading_interval_seconds)"
        f" VALUES (%(device)s, %(kind)s, %(seconds)s) ON CONFLICT ({stream}_id) DO UPDATE"
        " SET reading_kind = %(kind)s, reading_interval_seconds = %(seconds)s",
        {"device": DEVICE[stream], "kind": kind, "seconds": seconds},
    )


def store(connection: Connection, batch: Batch) -> None:
    """Store a batch as a flush does, and roll up until nothing is noted."""
    times = [DAY + timedelta(minutes=minutes) for minutes, _ in batch.readings]
    device = DEVICE[batch.stream]
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {batch.stream}_history VALUES {VALUES[batch.stream]}",
            [(device, at, kwh) for at, (_, kwh) in zip(times, batch.readings, strict=True)],
        )
    if not batch.is_noted:
        return
    hours = sorted({int((at.timestamp() - 1e-6) // 3_600) for at in times})
    connection.execute(
        "INSERT INTO rollup_due (stream, devices, hours) VALUES (%s, %s, %s)",
        [batch.stream, [device] * len(hours), hours],
    )
    while connection.execute("SELECT FROM rollup_due").fetchone() is not None:
        roll_up(connection)
