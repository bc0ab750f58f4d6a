"""How well one vehicle was charged."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from psycopg.rows import DictRow

from api.models.energy import (
    Battery,
    Efficiency,
    Energy,
    Hour,
    MeterSpan,
    Performance,
    Quality,
    WindowOut,
)
from api.postgres.database import Connection
from api.problems import Problem
from api.queries.rows import all_rows, only_row
from api.queries.statements import statement
from api.queries.windows import Window, hour_of
from energy.performance import Reason
from energy.ratio import percentage, ratio
from energy.status import Status
from energy.stored.times import as_datetime
from energy.stored.vehicles import Charging, read_charging
from energy.units import as_kwh, to_kwh

_MESSAGES = {
    Status.IMPLAUSIBLE: "more DC was delivered than AC drawn: check the meters and their"
    " assignment",
    Status.INSUFFICIENT_DATA: "too little energy or too few readings to judge",
    Status.NO_METER: "no meter was assigned and no session ran",
}
_SHARED = "several vehicles are assigned to a meter, so its energy outside of sessions is nobody's"


async def vehicle_performance(
    connection: Connection, vehicle_id: str, window: Window, *, meter_id: str | None = None
) -> Performance:
    """Return what `vehicle_charging` says of a vehicle, without its readings."""
    said, _ = await vehicle_charging(connection, vehicle_id, window, meter_id=meter_id)
    return said


async def vehicle_charging(
    connection: Connection, vehicle_id: str, window: Window, *, meter_id: str | None = None
) -> tuple[Performance, Charging]:
    """Return a vehicle's energy and efficiency in a window, how far they can be trusted, and why.

    `meter_id`: count all energy of this meter, whatever sessions and assignments say. The
    connection is in a snapshot. Raises Problem (404) for a vehicle that is not known at all.
    """
    asked = {"vehicle_id": vehicle_id, "start": window.start, "end": window.end}
    rows = await all_rows(connection, statement("vehicle_window"), **asked)
    by_hour = {row["hour"]: row for row in rows}
    whole = by_hour[None]
    # A vehicle that sent nothing in the window may be registered, or have sent before.
    if not whole["readings"] and not await _is_known(connection, vehicle_id):
        raise Problem(404, f"vehicle {vehicle_id} is not known")
    charging = await read_charging(
        connection, [vehicle_id], window.start, window.end, whole["as_of"], meter_id=meter_id
    )
    found = charging.performance
    ac, dc = found.ac.known_total(0), found.dc.known_total(0)
    said = Performance(
        vehicle_id=vehicle_id,
        window=WindowOut(start=window.start, end=window.end, as_of=whole["as_of"]),
        energy=energy_of(ac, dc),
        efficiency=_efficiency(ac, dc, found.status[0], found.reasons[0]),
        battery=Battery(average_temperature_c=whole["temperature"]),
        meters=_meters(charging),
        quality=Quality(
            vehicle_readings=whole["readings"],
            meter_readings=int(found.ac.readings[0]),
            vehicle_coverage=float(found.dc.coverage[0]),
            meter_coverage=float(found.ac.coverage[0]),
            reasons=list(found.reasons[0]),
        ),
        sessions=whole["sessions"],
        hourly=_hours(charging, by_hour),
    )
    return said, charging


async def _is_known(connection: Connection, vehicle_id: str) -> bool:
    """Return whether the vehicle is registered, has sent a reading, or was entered anywhere."""
    row = await only_row(connection, statement("is_vehicle_known"), vehicle_id=vehicle_id)
    return bool(row["known"])


def energy_of(ac: int | None, dc: int | None) -> Energy:
    """Return energies in nanokilowatt-hours as kWh; None for what is not known."""
    return Energy(
        ac_kwh=as_kwh(ac),
        dc_kwh=as_kwh(dc),
        loss_kwh=None if ac is None or dc is None else to_kwh(ac - dc),
    )


def _efficiency(
    ac: int | None, dc: int | None, status: Status, reasons: Sequence[Reason]
) -> Efficiency:
    rounded = percentage(ac, dc)
    message = _MESSAGES.get(status, f"{rounded} % of the AC drawn was delivered as DC")
    if Reason.SHARED_METER in reasons:
        message += f"; {_SHARED}"
    return Efficiency(ratio=ratio(ac, dc), percentage=rounded, status=status.value, message=message)


def _meters(charging: Charging) -> list[MeterSpan]:
    parts = charging.charged.parts
    spans = zip(
        parts.starts.tolist(),
        (charging.meters[device] for device in parts.device.tolist()),
        parts.ends.tolist(),
        strict=True,
    )
    return [
        MeterSpan(meter_id=meter_id, start=as_datetime(start), end=as_datetime(end))
        for start, meter_id, end in sorted(spans)
    ]


def _hours(charging: Charging, by_hour: dict[datetime | None, DictRow]) -> list[Hour]:
    found = charging.performance
    edges = [as_datetime(edge) for edge in found.edges.tolist()]
    hours = []
    energies = zip(found.ac.known_by_hour(), found.dc.known_by_hour(), strict=True)
    for (start, end), (ac, dc) in zip(pairwise(edges), energies, strict=True):
        read = by_hour.get(hour_of(start))
        hours.append(
            Hour(
                start=start,
                end=end,
                ac_kwh=as_kwh(ac),
                dc_kwh=as_kwh(dc),
                ratio=ratio(ac, dc),
                average_temperature_c=None if read is None else read["temperature"],
                readings=0 if read is None else read["readings"],
            )
        )
    return hours
