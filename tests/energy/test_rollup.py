"""What is answered from rollups is what history says, whatever was rolled up when."""

import random
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.energy.answers import VALUES, by_fleet, one_by_one, roll_up
from tests.energy.reference import HOUR_US, Device, Reading, World
from tests.energy.worlds import (
    DAY,
    DAY_US,
    METERS,
    MINUTE_US,
    VEHICLES,
    Connection,
    as_datetime,
    store,
    windows,
    worlds,
)

IDS = {"meter": METERS, "vehicle": VEHICLES}


# Whole hours around midnight, most of them: others are answered from history to the greater part.
hours = st.builds(lambda hour: DAY_US + hour * HOUR_US, st.integers(-3, 3))
asked = st.one_of(
    windows,
    st.lists(hours, min_size=2, max_size=2, unique=True).map(sorted),
    st.builds(
        lambda hour, minutes: [hour, hour + minutes * MINUTE_US], hours, st.integers(61, 360)
    ),
)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(world=worlds, asked=st.lists(asked, min_size=8, max_size=8), seed=st.integers(0, 2**32))
def test_the_fleet_is_its_vehicles_one_by_one(
    connection: Connection, world: World, asked: list[list[int]], seed: int
) -> None:
    chance = random.Random(seed)
    if chance.random() < 0.7:
        world = each_device(world, lambda device: filled(device, chance))
    with connection.transaction(force_rollback=True):
        store(connection, each_device(world, without_readings))
        for stream, devices in (("meter", world.meters), ("vehicle", world.vehicles)):
            flush_in_any_order(connection, stream, devices, chance)
        if chance.random() < 0.5:
            roll_up(connection)
        for start, end in asked:
            assert by_fleet(connection, start, end) == one_by_one(connection, start, end)


def each_device(world: World, change: Callable[[Device], Device]) -> World:
    """Return the world with every device changed."""
    return World(
        meters={name: change(device) for name, device in world.meters.items()},
        vehicles={name: change(device) for name, device in world.vehicles.items()},
        assignments=world.assignments,
        sessions=world.sessions,
    )


def filled(device: Device, chance: random.Random) -> Device:
    """Return the device with a reading every few minutes for hours around midnight, and gaps."""
    kept, step = chance.choice((0.5, 0.9, 1.0)), chance.choice((5, 15, 20)) * MINUTE_US
    readings, kwh = [], Fraction(5)
    for at in range(DAY_US - 4 * HOUR_US, DAY_US + 4 * HOUR_US + 1, step):
        gained, luck = Fraction(chance.randint(0, 500), 1_000), chance.random()
        if device.kind == "interval":
            kwh = gained
        elif luck < 0.01:  # a reset
            kwh = Fraction(0)
        elif luck < 0.02:  # jitter
            kwh = max(kwh - Fraction(5, 100), Fraction(0))
        else:
            kwh += gained
        if chance.random() < kept:
            readings.append(Reading(at, kwh, 20.0))
    return Device(device.kind, device.interval_us, device.rated_kw, device.modulus, readings)


def without_readings(device: Device) -> Device:
    return Device(device.kind, device.interval_us, device.rated_kw, device.modulus)


def flush_in_any_order(
    connection: Connection, stream: str, devices: dict[str, Device], chance: random.Random
) -> None:
    """Store the readings in batches, each with its note, and roll up now and then."""
    readings = [(name, one) for name, device in devices.items() for one in device.readings]
    late_us = chance.choice((0, HOUR_US, 12 * HOUR_US))
    readings.sort(key=lambda reading: reading[1].at + chance.random() * late_us)
    history, current = f"{stream}_history", f"{stream}_current_state"
    stored_by_hand = chance.random() < 0.3
    while readings:
        size = chance.randint(1, min(40, len(readings)))
        batch, readings = readings[:size], readings[size:]
        with connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {history} VALUES {VALUES[stream]}",
                [(name, as_datetime(one.at), float(one.kwh)) for name, one in batch],
            )
            cursor.executemany(
                f"INSERT INTO {current} SELECT h.*"
                f" FROM {history} AS h WHERE h.{stream}_id = %s ORDER BY recorded_at DESC LIMIT 1"
                f" ON CONFLICT ({stream}_id) DO UPDATE SET recorded_at = excluded.recorded_at",
                [(name,) for name in {name for name, _ in batch}],
            )
        if stored_by_hand:  # before anything is rolled up; of these there are no notes
            stored_by_hand = False
            continue
        touched = sorted({(name, (one.at - 1) // HOUR_US) for name, one in batch})
        connection.execute(
            "INSERT INTO rollup_due (stream, devices, hours) VALUES (%s, %s, %s)",
            [stream, [name for name, _ in touched], [hour for _, hour in touched]],
        )
        if chance.random() < 0.5:
            roll_up(connection, chance.randint(1, 3))
        if chance.random() < 0.1:
            become_something_else(connection, stream, chance)
        if chance.random() < 0.1:
            forget_a_day(connection, stream, chance)
        if chance.random() < 0.3:
            complete_days(connection, chance)


def become_something_else(connection: Connection, stream: str, chance: random.Random) -> None:
    """Register a device anew, or not at all."""
    device = chance.choice(IDS[stream])
    if chance.random() < 0.3:
        connection.execute(f"DELETE FROM {stream} WHERE {stream}_id = %s", [device])
        return
    connection.execute(
        f"INSERT INTO {stream} ({stream}_id, reading_kind, reading_interval_seconds)"
        f" VALUES (%(device)s, %(kind)s, %(seconds)s) ON CONFLICT ({stream}_id) DO UPDATE"
        " SET reading_kind = %(kind)s, reading_interval_seconds = %(seconds)s",
        {
            "device": device,
            "kind": chance.choice(("interval", "register")),
            "seconds": chance.choice((30, 60, 900)),
        },
    )
    if stream == "meter":
        rated = chance.choice((None, 11, 300))
        connection.execute("UPDATE meter SET capacity_kw = %s WHERE meter_id = %s", [rated, device])


def forget_a_day(connection: Connection, stream: str, chance: random.Random) -> None:
    """Forget what a day was rolled up to, as retention does."""
    day = chance.choice((DAY, DAY - timedelta(days=1))).date()
    for table in ("rollup_day", "energy_rollup"):
        connection.execute(f"DELETE FROM {table} WHERE stream = %s AND day = %s", [stream, day])


def complete_days(connection: Connection, chance: random.Random) -> None:
    """See to days that are over, some of their devices at a time."""
    for _ in range(chance.randint(1, 12)):
        connection.execute(
            "SELECT complete_a_day(%s, %s, 1)",
            [(DAY - timedelta(days=3)).date(), (DAY + timedelta(days=chance.randint(0, 2))).date()],
        )
