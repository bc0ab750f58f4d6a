"""The two messages, and the bounds of their fields: the one source of both. Pure."""

from typing import Annotated, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from telemetry.timestamps import parse_timestamp


class Reading(NamedTuple):
    """One accepted reading, in the form that both topics share.

    `recorded_at` is in microseconds since 1970-01-01 UTC. `measures` are in the order of
    `Stream.measures`, None if the device left one out.
    """

    device_id: str
    recorded_at: int
    measures: tuple[float | None, ...]


def _instant(value: object) -> int:
    if not isinstance(value, str):
        raise PydanticCustomError("timestamp_type", "Input should be a string")
    try:
        return parse_timestamp(value)
    except ValueError as error:
        raise PydanticCustomError(
            "timestamp_parsing", "Input should be RFC 3339, 2000 or later"
        ) from error


DEVICE_ID = r"[A-Za-z0-9._:-]{1,64}"
DeviceId = Annotated[str, Field(pattern=f"^{DEVICE_ID}$")]
Energy = Annotated[float, Field(ge=0, le=10_000_000, allow_inf_nan=False)]
"""kWh since the reading before, or the value of the device's register."""
Voltage = Annotated[float | None, Field(ge=0, le=1_000, allow_inf_nan=False)]
"""Volts; optional."""
StateOfCharge = Annotated[float | None, Field(ge=0, le=100, allow_inf_nan=False)]
"""Per cent; optional."""
Temperature = Annotated[float | None, Field(ge=-60, le=150, allow_inf_nan=False)]
"""Degrees Celsius; optional."""
Instant = Annotated[
    int, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""Microseconds since 1970-01-01 UTC; RFC 3339 in JSON."""


class _Message(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True, strict=True, extra="ignore")


class MeterReading(_Message):
    """A value of the topic `telemetry.meter`."""

    meter_id: DeviceId
    kwh_consumed_ac: Energy
    voltage: Voltage = None
    timestamp: Instant

    def reading(self) -> Reading:
        return Reading(self.meter_id, self.timestamp, (self.kwh_consumed_ac, self.voltage))


class VehicleReading(_Message):
    """A value of the topic `telemetry.vehicle`."""

    vehicle_id: DeviceId
    soc: StateOfCharge = None
    kwh_delivered_dc: Energy
    battery_temp: Temperature = None
    timestamp: Instant

    def reading(self) -> Reading:
        return Reading(
            self.vehicle_id, self.timestamp, (self.soc, self.kwh_delivered_dc, self.battery_temp)
        )
