"""Readings as devices send them, and as they are stored."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg.rows import DictRow

NOW = datetime.now(UTC).replace(microsecond=0)
MINUTE = timedelta(minutes=1)
# A reading on the hour belongs to the hour that it ends.
_NOTE = """
INSERT INTO rollup_due (stream, devices, hours)
SELECT %(stream)s, array_agg(%(device)s::text), array_agg(touched.hour)
FROM (SELECT DISTINCT ceil(hours_since_1970(at))::integer - 1 AS hour
      FROM unnest(%(times)s::timestamptz[]) AS at) AS touched
"""


def stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def meter(device: str = "mtr-1", **fields: object) -> dict[str, object]:
    return {
        "meterId": device,
        "kwhConsumedAc": 0.913,
        "voltage": 229.8,
        "timestamp": stamp(NOW),
        **fields,
    }


def vehicle(device: str = "veh-1", **fields: object) -> dict[str, object]:
    return {
        "vehicleId": device,
        "soc": 57.3,
        "kwhDeliveredDc": 0.842,
        "batteryTemp": 31.4,
        "timestamp": stamp(NOW),
        **fields,
    }


def encode(body: object) -> bytes:
    return json.dumps(body).encode()


def store_meter(
    rows: psycopg.Connection[DictRow], device: str, readings: Iterable[tuple[datetime, float]]
) -> None:
    """Write readings of (time, kWh), as the consumer would."""
    _store(rows, "meter", device, [(at, kwh, 230.0) for at, kwh in readings])


def store_vehicle(
    rows: psycopg.Connection[DictRow], device: str, readings: Iterable[tuple[datetime, float]]
) -> None:
    """Write readings of (time, kWh), as the consumer would."""
    _store(rows, "vehicle", device, [(at, 50.0, kwh, 30.5) for at, kwh in readings])


def _store(
    rows: psycopg.Connection[DictRow], kind: str, device: str, values: list[tuple[object, ...]]
) -> None:
    marks = ", ".join(["%s"] * (1 + len(values[0])))
    with rows.cursor() as cursor, rows.transaction():
        cursor.executemany(
            f"INSERT INTO {kind}_history VALUES ({marks})", [(device, *one) for one in values]
        )
        cursor.execute(f"DELETE FROM {kind}_current_state WHERE {kind}_id = %s", [device])
        cursor.execute(
            f"INSERT INTO {kind}_current_state VALUES ({marks}, now())",
            (device, *max(values, key=str)),
        )
        times = [one[0] for one in values]
        cursor.execute(_NOTE, {"stream": kind, "device": device, "times": times})
