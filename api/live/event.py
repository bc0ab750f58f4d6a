"""One event of the live stream: a new current state. Pure."""

from typing import NamedTuple

from psycopg.rows import DictRow

from api.models.readings import MeterState, VehicleState
from telemetry.timestamps import as_instant


class Event(NamedTuple):
    """A new current state; `id` is when it was stored, in microseconds since 1970."""

    id: int
    kind: str
    device_id: str
    state: MeterState | VehicleState


def event_of(row: DictRow) -> Event:
    """Return the event of a row of `changed_states` or `missed_states`."""
    state: MeterState | VehicleState
    if row["kind"] == "meter":
        state = MeterState(
            meter_id=row["device_id"],
            kwh_consumed_ac=row["kwh"],
            voltage=row["voltage"],
            timestamp=row["recorded_at"],
            updated_at=row["updated_at"],
        )
    else:
        state = VehicleState(
            vehicle_id=row["device_id"],
            soc=row["soc"],
            kwh_delivered_dc=row["kwh"],
            battery_temp=row["battery_temp"],
            timestamp=row["recorded_at"],
            updated_at=row["updated_at"],
        )
    return Event(as_instant(row["updated_at"]), row["kind"], row["device_id"], state)
