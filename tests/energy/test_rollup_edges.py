"""Where a rollup may differ from history, case by case; `test_rollup` draws the rest."""

from datetime import timedelta
from typing import NamedTuple

from tests.energy.reference import HOUR_US
from tests.energy.test_performance import DAY, DAY_US, Connection, connection
from tests.energy.test_rollup import by_fleet, one_by_one, roll_up

__all__ = ["connection"]  # the fixture


class Batch(NamedTuple):
    """Readings of one vehicle, minutes from midnight on and kWh; rolled up, or not even noted."""

    readings: list[tuple[float, float]]
    is_noted: bool = True


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
    # As if the note had been worked off by somebody who did not see the change yet.
    connection.execute("TRUNCATE rollup_due")
    window = (DAY_US, DAY_US + 2 * HOUR_US)
    assert by_fleet(connection, *window) == one_by_one(connection, *window)


def register(connection: Connection, kind: str, *, seconds: int) -> None:
    """Say what the vehicle is."""
    connection.execute(
        "INSERT INTO vehicle (vehicle_id, reading_kind, reading_interval_seconds)"
        " VALUES ('veh-1', %(kind)s, %(seconds)s) ON CONFLICT (vehicle_id) DO UPDATE"
        " SET reading_kind = %(kind)s, reading_interval_seconds = %(seconds)s",
        {"kind": kind, "seconds": seconds},
    )


def store(connection: Connection, batch: Batch) -> None:
    """Store a batch as a flush does, and roll up until nothing is noted."""
    times = [DAY + timedelta(minutes=minutes) for minutes, _ in batch.readings]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO vehicle_history VALUES ('veh-1', %s, 50, %s, 20)",
            [(at, kwh) for at, (_, kwh) in zip(times, batch.readings, strict=True)],
        )
    if not batch.is_noted:
        return
    hours = sorted({int((at.timestamp() - 1e-6) // 3_600) for at in times})
    connection.execute(
        "INSERT INTO rollup_due (stream, devices, hours) VALUES ('vehicle', %s, %s)",
        [["veh-1"] * len(hours), hours],
    )
    while connection.execute("SELECT FROM rollup_due").fetchone() is not None:
        roll_up(connection)
