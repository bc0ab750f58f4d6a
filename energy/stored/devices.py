"""Reads what devices are registered as."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from energy.device import BEGINNING, Dated, Device, Facts, Kind
from energy.stored.statements import statement
from energy.stored.times import as_us
from telemetry.streams import Stream

UNREGISTERED = Device()


async def read_devices(
    connection: AsyncConnection[dict[str, Any]], stream: Stream, ids: Sequence[str]
) -> tuple[list[Device], int]:
    """Return the devices with these ids, in their order, and until when history is removed.

    All defaults hold for a device that is not registered. The time is in microseconds since 1970.
    Raises psycopg.Error.
    """
    dated: defaultdict[str, list[Dated]] = defaultdict(list)
    cursor = await connection.execute(
        statement("facts"), {"stream": stream.name, "devices": list(ids)}
    )
    rows = await cursor.fetchall()
    for row in rows:
        if row["device_id"] is None:  # none of them is registered
            break
        since = BEGINNING if row["since"] is None else as_us(row["since"])
        dated[row["device_id"]].append(Dated(since, _facts(row)))
    devices = [Device(tuple(dated[one])) if one in dated else UNREGISTERED for one in ids]
    removed_until = rows[0]["removed_until"]
    return devices, BEGINNING if removed_until is None else as_us(removed_until)


def _facts(row: dict[str, Any]) -> Facts:
    return Facts(
        kind=Kind(row["reading_kind"]),
        interval_s=row["reading_interval_seconds"],
        capacity_kw=row["capacity_kw"],
        modulus_kwh=row["register_modulus_kwh"],
        step_kwh=row["register_step_kwh"],
        reports_only_while_charging=row["reports_only_while_charging"],
    )
