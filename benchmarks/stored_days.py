"""Days of history, as a fleet of 10,000 meters and 10,000 vehicles leaves them behind.

Written by PostgreSQL itself, in the order in which they would have come: a minute of all devices
after the other, so that a device's readings lie as far apart as they do in operation.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta
from typing import Any

import psycopg
from rich.progress import Progress

from consumer.postgres.days import make_days, number_of
from telemetry.streams import STREAMS, Stream

DEVICES = 10_000
ROWS_A_DAY = 2 * DEVICES * 24 * 60
REGISTERS = 500
"""How many pairs, the last ones, are registers."""
SHARED = 200
"""How many vehicles, the first ones, share a meter two by two, in sessions of two hours in turn."""
_STEP = timedelta(minutes=10)

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


# With the day before the first: what reads on over midnight would find readings for it.
_CALL_COMPLETE = """
    INSERT INTO rollup_day (stream, day)
    SELECT stream, day::date
    FROM unnest(ARRAY['meter', 'vehicle']) AS stream
    CROSS JOIN generate_series(
        %(start)s::date - 1, %(end)s::date, interval '1 day') AS day
    ON CONFLICT DO NOTHING
"""


def load_days(database_url: str, *, fleet: str, days: int, progress: Progress) -> int:
    """Fill history up to now, register the devices and roll everything up; return the rows.

    The last row of a device is at most a minute old. Raises psycopg.Error.
    """
    facts = _facts(fleet, days, datetime.now(UTC).replace(second=0, microsecond=0))
    _fill(database_url, facts, progress)
    _at_once(database_url, progress, "rolling up", facts, _roll_up)
    with psycopg.connect(database_url, autocommit=True) as connection:
        complete = "SELECT complete_a_day(%s, %s, %s)"
        span = [facts["start"].date(), facts["end"].date(), DEVICES]
        while connection.execute(complete, span).fetchone() == (True,):
            pass
    return ROWS_A_DAY * days


def load_past(
    database_url: str, *, fleet: str, days: int, end: datetime, progress: Progress
) -> int:
    """Fill history up to a whole minute and register the devices; return the rows.

    For readings to go into, not for questions: of all days only the last one, which goes on, is
    rolled up. The others are called complete, so that no replica begins to roll them up.
    Raises psycopg.Error.
    """
    facts = _facts(fleet, days, end)
    _fill(database_url, facts, progress)
    midnight = datetime.combine(end, time.min, UTC)
    _at_once(database_url, progress, "rolling up", facts | {"start": midnight}, _roll_up)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(_CALL_COMPLETE, facts)
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
    _at_once(database_url, progress, "loading", facts, _load)


async def _make_days(database_url: str, start: datetime, end: datetime) -> None:
    days = range(number_of(start.date()), number_of(end.date()) + 1)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        for stream in STREAMS:
            await make_days(connection, stream, days)


def _at_once(
    database_url: str,
    progress: Progress,
    name: str,
    facts: dict[str, Any],
    work: Callable[[psycopg.Connection, Stream, dict[str, Any]], Iterator[float]],
) -> None:
    """Do the work of both streams side by side, each yielding the share that it has done."""
    task = progress.add_task(name, total=len(STREAMS))

    def do(stream: Stream) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            done = 0.0
            for share in work(connection, stream, facts):
                progress.advance(task, share - done)
                done = share

    with ThreadPoolExecutor() as threads:
        list(threads.map(do, STREAMS))


def _load(connection: psycopg.Connection, stream: Stream, facts: dict[str, Any]) -> Iterator[float]:
    cursor = psycopg.ClientCursor(connection)
    at, end = facts["start"], facts["end"]
    while at < end:
        following = min(end, at + _STEP)
        cursor.execute(_LOADS[stream.name], facts | {"start": at, "end": following})
        at = following
        yield (at - facts["start"]) / (end - facts["start"])
    # As autovacuum has done of days that came in their own time.
    connection.execute(f"VACUUM ANALYZE {stream.history}")


def _roll_up(
    connection: psycopg.Connection, stream: Stream, facts: dict[str, Any]
) -> Iterator[float]:
    days = (facts["end"].date() - facts["start"].date()).days + 1
    step = DEVICES // 50
    for day in range(days):
        for first in range(0, DEVICES, step):
            connection.execute(
                "SELECT roll_up_day(%(stream)s, %(day)s, array_agg(id), array_agg(0)) FROM ("
                f" SELECT {stream.id_column} AS id FROM {stream.current_state}"
                f" ORDER BY 1 LIMIT %(most)s OFFSET %(first)s) AS devices",
                {
                    "stream": stream.name,
                    "day": facts["start"].date() + timedelta(days=day),
                    "first": first,
                    "most": step,
                },
            )
            yield (day + (first + step) / DEVICES) / days
