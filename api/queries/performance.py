"""How well one vehicle was charged."""

from psycopg.rows import DictRow

from api.models.energy import (
    Battery,
    Efficiency,
    Energy,
    Hour,
    MeterSpan,
    Performance,
    Quality,
    Status,
    WindowOut,
)
from api.postgres.database import Connection
from api.problems import Problem
from api.queries.rows import only_row
from api.queries.statements import statement
from api.queries.windows import Window

_MESSAGES: dict[Status, str] = {
    "implausible": "more DC was delivered than AC drawn: check the meters and their assignment",
    "insufficient_data": "too little energy or too few readings to judge",
    "no_meter": "no meter was assigned and no session ran",
}


async def vehicle_performance(
    connection: Connection, vehicle_id: str, window: Window, *, meter_id: str | None = None
) -> Performance:
    """Return a vehicle's energy and efficiency in a window, and how far they can be trusted.

    `meter_id`: count all energy of this meter, whatever sessions and assignments say. Raises
    Problem (404) for a vehicle that is not known at all.
    """
    row = await only_row(
        connection,
        statement("vehicle_performance"),
        vehicle_id=vehicle_id,
        start=window.start,
        end=window.end,
        meter_id=meter_id,
    )
    # A vehicle that sent nothing in the window may be registered, or have sent before.
    if not row["vehicle_readings"] and not await _is_known(connection, vehicle_id):
        raise Problem(404, f"vehicle {vehicle_id} is not known")
    return _performance(vehicle_id, window, row)


async def _is_known(connection: Connection, vehicle_id: str) -> bool:
    """Return whether the vehicle is registered, has sent a reading, or was entered anywhere."""
    row = await only_row(connection, statement("is_vehicle_known"), vehicle_id=vehicle_id)
    return bool(row["known"])


def _performance(vehicle_id: str, window: Window, row: DictRow) -> Performance:
    percentage = None if row["percentage"] is None else float(row["percentage"])
    delivered = f"{percentage} % of the AC drawn was delivered as DC"
    return Performance(
        vehicle_id=vehicle_id,
        window=WindowOut(start=window.start, end=window.end, as_of=row["as_of"]),
        energy=Energy.model_validate(row),
        efficiency=Efficiency(
            ratio=row["ratio"],
            percentage=percentage,
            status=row["status"],
            message=_MESSAGES.get(row["status"], delivered),
        ),
        battery=Battery(average_temperature_c=row["average_temperature_c"]),
        meters=[MeterSpan.model_validate(span) for span in row["meters"]],
        quality=Quality.model_validate(row),
        sessions=row["sessions"],
        hourly=[Hour.model_validate(hour) for hour in row["hourly"]],
    )
