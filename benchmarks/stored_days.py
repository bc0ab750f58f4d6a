"""Days of history, as a fleet of 10,000 meters and 10,000 vehicles leaves them behind.

Written by PostgreSQL itself, in the order in which they would have come: a minute of all devices
after the other, so that a device's readings lie as far apart as they do in operation.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta
from functools import partial
from multiprocessing import get_context
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg.rows import dict_row
from rich.progress import Progress

from consumer.postgres.days import make_days, number_of
from energy.stored.rolling_up import write_hours
from energy.stored.times import as_us
from runtime.postgres.arrays import load_arrays
from telemetry.streams import STREAMS, Stream

DEVICES = 10_000
ROWS_A_DAY = 2 * DEVICES * 24 * 60
REGISTERS = 500
"""How many pairs, the last ones, are registers."""
SHARED = 200
"""How many vehicles, the first ones, share a meter two by two, in sessions of two hours in turn."""
_STEP = timedelta(minutes=10)
_SHARE = 80
"""So many vehicles are rolled up at a time."""

_IDS = "'{}-' || %(fleet)s || '-' || to_char(pair, 'FM00000')"
_METER, _VEHICLE = _IDS.format("mtr"), _IDS.format("veh")

# Every pair is read at its own second of the minute. A meter draws up to 0.1 kWh a minute; of a
# hundred vehicles two get 0.80 of it, one 0.70, and the others 0.92.
_READINGS = """
    SELECT pair, at, drawn::float8,
           (drawn * CASE pair %% 100 WHEN 0 THEN 0.70 WHEN 1 THEN 0.80 WHEN 2 THEN 0.80
                                     ELSE 0.92 END)::float8 AS taken
    FROM (
        SELECT pair, minute + make_interval(secs => pair %% 60) AS at,
               CASE WHEN pair < %(devices)s - %(registers)s
                    THEN ((pair * 7919 + number * 104729) %% 1000)::numeric / 10000
                    ELSE 1000 + 0.05 * number END AS drawn
        FROM (SELECT minute, (extract(epoch FROM minute) / 60)::bigint - 28000000 AS number
              FROM generate_series(%(start)s::timestamptz,
                                   %(end)s::timestamptz - interval '1 minute',
                                   interval '1 minute') AS minute) AS minutes
        CROSS JOIN generate_series(0, %(devices)s - 1) AS pair
    ) AS meters
    ORDER BY at, pair
"""
_LOADS = {
    "meter": f"""
        INSERT INTO meter_history (meter_id, recorded_at, kwh_consumed_ac, voltage)
        SELECT {_METER}, at, drawn, 231.4 FROM ({_READINGS}) AS reading
    """,
    "vehicle": f"""
        INSERT INTO vehicle_history (vehicle_id, recorded_at, soc, kwh_delivered_dc, battery_temp)
        SELECT {_VEHICLE}, at, 62.5, taken, 27.3 FROM ({_READINGS}) AS reading
    """,
}
_PAIRS = "generate_series(0, %(devices)s - 1) AS pair"
_KIND = "CASE WHEN pair < %(devices)s - %(registers)s THEN 'interval' ELSE 'register' END"
_REGISTRY = (
    (
        "INSERT INTO meter (meter_id, capacity_kw, reading_kind)"
        f" SELECT {_METER}, 22, {_KIND} FROM {_PAIRS}"
    ),
    f"INSERT INTO vehicle (vehicle_id, reading_kind) SELECT {_VEHICLE}, {_KIND} FROM {_PAIRS}",
    "INSERT INTO meter_current_state SELECT meter_id, %(end)s, 0, 230, now() FROM meter",
    "INSERT INTO vehicle_current_state SELECT vehicle_id, %(end)s, 50, 0, 25, now() FROM vehicle",
    f"""
    INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at)
    SELECT vehicle, {_METER}, %(start)s::timestamptz - interval '1 day'
    FROM (SELECT {_VEHICLE} AS vehicle,
                 CASE WHEN pair < %(shared)s THEN pair - pair %% 2 ELSE pair END AS pair
          FROM {_PAIRS}) AS bond
    """,
    f"""
    INSERT INTO charging_session (vehicle_id, meter_id, started_at, ended_at)
    SELECT {_VEHICLE}, {_IDS.format("mtr").replace("pair", "(pair - pair %% 2)")},
           began, began + interval '2 hours'
    FROM generate_series(0, %(shared)s - 1) AS pair
    CROSS JOIN generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '4 hours',
                               interval '4 hours') AS turn
    CROSS JOIN LATERAL (SELECT turn + pair %% 2 * interval '2 hours' AS began) AS time
    """,
)


def load_days(database_url: str, *, fleet: str, days: int, progress: Progress) -> int:
    """Fill history up to now, register the devices and roll everything up; return the rows.

    The last row of a device is at most a minute old. Raises psycopg.Error.
    """
    facts = _facts(fleet, days, datetime.now(UTC).replace(second=0, microsecond=0))
    _fill(database_url, facts, progress)
    _roll_up(database_url, facts, facts["start"], progress)
    return ROWS_A_DAY * days


def load_past(
    database_url: str, *, fleet: str, days: int, end: datetime, progress: Progress
) -> int:
    """Fill history up to a whole minute and register the devices; return the rows.

    For readings to go into, not for questions: of all days only the last one, which goes on, is
    rolled up. Of the others nothing is noted, so that no replica begins to roll them up. Raises
    psycopg.Error.
    """
    facts = _facts(fleet, days, end)
    _fill(database_url, facts, progress)
    _roll_up(database_url, facts, end, progress)
    return ROWS_A_DAY * days


def _facts(fleet: str, days: int, end: datetime) -> dict[str, Any]:
    return {
        "fleet": fleet,
        "devices": DEVICES,
        "registers": REGISTERS,
        "shared": SHARED,
        "start": end - timedelta(days=days),
        "end": end,
    }


def _fill(database_url: str, facts: dict[str, Any], progress: Progress) -> None:
    asyncio.run(_make_days(database_url, facts["start"], facts["end"]))
    with psycopg.connect(database_url, autocommit=True) as connection:
        cursor = psycopg.ClientCursor(connection)
        for statement in _REGISTRY:
            cursor.execute(statement, facts)
    _load_all(database_url, facts, progress)


async def _make_days(database_url: str, start: datetime, end: datetime) -> None:
    days = range(number_of(start.date()), number_of(end.date()) + 1)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        for stream in STREAMS:
            await make_days(connection, stream, days)


def _load_all(database_url: str, facts: dict[str, Any], progress: Progress) -> None:
    """Load both streams side by side."""
    task = progress.add_task("loading", total=len(STREAMS))

    def load(stream: Stream) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            done = 0.0
            for share in _load(connection, stream, facts):
                progress.advance(task, share - done)
                done = share

    with ThreadPoolExecutor() as threads:
        list(threads.map(load, STREAMS))


def _load(connection: psycopg.Connection, stream: Stream, facts: dict[str, Any]) -> Iterator[float]:
    """Load a stream, and yield the share of it that is done."""
    cursor = psycopg.ClientCursor(connection)
    at, end = facts["start"], facts["end"]
    while at < end:
        following = min(end, at + _STEP)
        cursor.execute(_LOADS[stream.name], facts | {"start": at, "end": following})
        at = following
        yield (at - facts["start"]) / (end - facts["start"])
    # As autovacuum has done of days that came in their own time.
    connection.execute(f"VACUUM ANALYZE {stream.history}")


def _roll_up(database_url: str, facts: dict[str, Any], since: datetime, progress: Progress) -> None:
    """Write the vehicles' days from that of a time on, and call all that is noted done.

    A replica would do it in a tenth of its time, one vehicle after the other.
    """
    vehicles = [f"veh-{facts['fleet']}-{pair:05}" for pair in range(DEVICES)]
    shares = [vehicles[first : first + _SHARE] for first in range(0, DEVICES, _SHARE)]
    midnights = as_us(_midnight(since)), as_us(_midnight(facts["end"] + timedelta(days=1)))
    task = progress.add_task("rolling up", total=len(shares))
    # The progress has a thread, so that no process may be forked.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as processes:
        for _ in processes.map(partial(_write, database_url, midnights), shares):
            progress.advance(task)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("TRUNCATE rollup_due, vehicle_due")
        connection.execute("VACUUM ANALYZE vehicle_day")


def _midnight(at: datetime) -> datetime:
    return datetime.combine(at, time.min, UTC)


def _write(database_url: str, midnights: tuple[int, int], vehicles: list[str]) -> None:
    """Write the days of some vehicles, from one midnight to another (µs since 1970)."""
    start, last = midnights

    async def write() -> None:
        async with await psycopg.AsyncConnection.connect(
            database_url, row_factory=dict_row
        ) as connection:
            load_arrays(connection)
            await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            await write_hours(connection, vehicles, start, last, datetime.now(UTC))

    asyncio.run(write())
