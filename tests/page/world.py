"""Sixty vehicles of the simulator's fleet, whose last two days are written to the tables.

Some have what a page must cope with: gaps, a shared meter, no meter, more DC than AC, silence, an
id with every character, and a model whose name is HTML.
"""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import psycopg
import pyarrow as pa
from pyarrow.csv import WriteOptions, write_csv

from producer_sim.devices.fleet import Fleet, Mode, Tick
from tests.notes import note_all

SIZE = 60
DAYS = 2
MINUTE_US = 60_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
GAPPY, SHARED, METERLESS, ODD, IMPLAUSIBLE, SILENT = 3, 5, 7, 9, 11, 13
ODD_ID = "Veh:9_a.b-c"
MARKUP = "<script>alert('model')</script>"

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class World:
    """The vehicles that tests look at, and when they were written."""

    gappy: str
    shared: str
    meterless: str
    odd: str
    charged: str
    """A vehicle that charged in a session."""
    now: datetime


def fill(connection: Connection, now: datetime) -> World:
    """Write the fleet's last two days up to now."""
    _make_days(connection, now)
    now_us = (now - EPOCH) // timedelta(microseconds=1)
    steps = DAYS * 24 * 60
    start = (now_us // MINUTE_US - steps) * MINUTE_US
    fleet = Fleet(size=SIZE, seed=7, start_us=start, interval_us=MINUTE_US)
    ticks, charging = [], []
    for _ in range(steps):
        ticks.append(fleet.advance())
        charging.append(fleet.mode == Mode.CHARGING)
    with connection.cursor() as cursor:
        _copy_histories(cursor, ticks)
        cursor.execute(
            "INSERT INTO meter_current_state SELECT DISTINCT ON (meter_id) meter_id, recorded_at,"
            " kwh_consumed_ac, voltage, recorded_at + interval '1.4 seconds' FROM meter_history"
            " ORDER BY meter_id, recorded_at DESC"
        )
        cursor.execute(
            "INSERT INTO vehicle_current_state SELECT DISTINCT ON (vehicle_id) vehicle_id,"
            " recorded_at, soc, kwh_delivered_dc, battery_temp,"
            " recorded_at + interval '1.4 seconds' FROM vehicle_history"
            " ORDER BY vehicle_id, recorded_at DESC"
        )
        _assign(cursor, start)
        charged = _sessions(cursor, np.array(charging), start)
        _register(cursor)
        _offsets_and_letters(cursor, now)
    note_all(connection)
    connection.commit()
    connection.execute("ANALYZE")
    return World(
        gappy=_vehicle(GAPPY),
        shared=_vehicle(SHARED),
        meterless=_vehicle(METERLESS),
        odd=ODD_ID,
        charged=charged,
        now=now,
    )


def _vehicle(place: int) -> str:
    return ODD_ID if place == ODD else f"veh-{place:05}"


def _meter(place: int) -> str:
    return f"mtr-{place:05}"


def _copy_histories(cursor: psycopg.Cursor[tuple[object, ...]], ticks: list[Tick]) -> None:
    """Write the readings, but for those that are lost."""
    at = np.array([tick.recorded_at for tick in ticks])
    ac = np.array([tick.kwh_consumed_ac for tick in ticks])
    dc = np.array([tick.kwh_delivered_dc for tick in ticks])
    dc[:, IMPLAUSIBLE] *= 1.3
    volts = np.array([tick.voltage for tick in ticks])
    soc = np.array([tick.soc for tick in ticks])
    heat = np.array([tick.battery_temp for tick in ticks])
    for table, columns, name, measures in (
        ("meter_history", "meter_id, recorded_at, kwh_consumed_ac, voltage", _meter, (ac, volts)),
        (
            "vehicle_history",
            "vehicle_id, recorded_at, soc, kwh_delivered_dc, battery_temp",
            _vehicle,
            (soc, dc, heat),
        ),
    ):
        kept = ~_lost(table, len(ticks))
        ids = np.tile([name(place) for place in range(SIZE)], (len(ticks), 1))
        rows = pa.table(
            [
                pa.array(ids[kept]),
                pa.array(at[kept], pa.timestamp("us", tz="UTC")),
                *(pa.array(measure[kept]) for measure in measures),
            ],
            names=columns.split(", "),
        )
        with (
            cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT csv)") as copy,
            pa.BufferOutputStream() as text,
        ):
            write_csv(rows, text, WriteOptions(include_header=False))
            copy.write(text.getvalue().to_pybytes())


def _lost(table: str, steps: int) -> np.ndarray:
    """Return which readings are lost, by minute and vehicle: hours of one, and of its meter.

    One vehicle fell silent long ago.
    """
    before_end = steps - np.arange(steps)
    lost = np.zeros((steps, SIZE), bool)
    lost[:, SILENT] = before_end < 600
    if table == "vehicle_history":
        lost[:, GAPPY] = (before_end > 700) & (before_end < 860)
        lost[:, GAPPY] |= (before_end > 300) & (before_end < 330)
    else:
        lost[:, GAPPY] = (before_end > 420) & (before_end < 520)
    return lost


def _make_days(connection: Connection, now: datetime) -> None:
    for back in range(-1, DAYS + 2):
        day: date = (now - timedelta(days=back)).date()
        for table in ("meter_history", "vehicle_history"):
            connection.execute(
                f"CREATE TABLE {table}_{day:%Y%m%d} PARTITION OF {table}"
                f" FOR VALUES FROM ('{day}Z') TO ('{day + timedelta(days=1)}Z')"
            )


def _assign(cursor: psycopg.Cursor[tuple[object, ...]], start: int) -> None:
    began = EPOCH + timedelta(microseconds=start) - timedelta(days=1)
    cursor.executemany(
        "INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at)"
        " VALUES (%s, %s, %s)",
        [
            (_vehicle(place), _meter(SHARED - 1 if place == SHARED else place), began)
            for place in range(SIZE)
            if place != METERLESS
        ],
    )


def _sessions(cursor: psycopg.Cursor[tuple[object, ...]], charging: np.ndarray, start: int) -> str:
    """Write a session for each charge of every third vehicle; return one that has several."""
    most = (0, "")
    for place in range(0, SIZE, 3):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], charging[:, place].astype(int), [0]])))
        spans = [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a > 20]
        for began, ended in spans:
            cursor.execute(
                "INSERT INTO charging_session (vehicle_id, meter_id, started_at, ended_at)"
                " VALUES (%s, %s, %s, %s)",
                [
                    _vehicle(place),
                    _meter(place),
                    EPOCH + timedelta(microseconds=start + began * MINUTE_US),
                    None
                    if ended == len(charging)
                    else EPOCH + timedelta(microseconds=start + ended * MINUTE_US),
                ],
            )
        recent = [span for span in spans if span[0] > len(charging) // 2]
        if place not in (GAPPY, ODD) and len(recent) > most[0]:
            most = (len(recent), _vehicle(place))
    return most[1]


def _register(cursor: psycopg.Cursor[tuple[object, ...]]) -> None:
    cursor.executemany(
        "INSERT INTO vehicle (vehicle_id, model, battery_capacity_kwh) VALUES (%s, %s, 77)",
        [(_vehicle(place), "e-Van 77") for place in range(0, SIZE, 4)]
        + [(ODD_ID, MARKUP), (_vehicle(GAPPY), "City 40 Plus")],
    )


def _offsets_and_letters(cursor: psycopg.Cursor[tuple[object, ...]], now: datetime) -> None:
    cursor.executemany(
        "INSERT INTO ingest_offset VALUES ('telemetry-consumer', %s, %s, 70000, %s)",
        [
            (topic, part, now)
            for topic in ("telemetry.meter", "telemetry.vehicle")
            for part in range(4)
        ],
    )
    cursor.executemany(
        "INSERT INTO dead_letter (consumer_group, topic, partition, record_offset, value, headers,"
        " reason, detail, dead_lettered_at) VALUES ('telemetry-consumer', 'telemetry.meter', 0, %s,"
        " 'x', %s, %s, 'no JSON', %s)",
        [
            (at, json.dumps([]), "malformed_json" if at % 3 else "out_of_range", now)
            for at in range(14)
        ],
    )
