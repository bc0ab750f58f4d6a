"""Readings: as devices send them, as they are stored, and as they are rejected."""

from pydantic import Field

from api.models.bodies import Model
from api.times import Time


class SentMeterReading(Model):
    """A reading as a meter sends it."""

    meter_id: str = Field(examples=["mtr-00042"])
    kwh_consumed_ac: float = Field(examples=[0.913])
    voltage: float | None = Field(examples=[229.8])
    timestamp: Time


class MeterState(SentMeterReading):
    """A meter's newest reading; `updatedAt` is when it was stored as such."""

    updated_at: Time


class StoredMeterReading(SentMeterReading):
    """A meter's reading from history; `ingestedAt` is when it was stored."""

    ingested_at: Time


class SentVehicleReading(Model):
    """A reading as a vehicle sends it."""

    vehicle_id: str = Field(examples=["veh-00042"])
    soc: float | None = Field(examples=[57.3])
    kwh_delivered_dc: float = Field(examples=[0.842])
    battery_temp: float | None = Field(examples=[31.4])
    timestamp: Time


class VehicleState(SentVehicleReading):
    """A vehicle's newest reading; `updatedAt` is when it was stored as such."""

    updated_at: Time


class StoredVehicleReading(SentVehicleReading):
    """A vehicle's reading from history; `ingestedAt` is when it was stored."""

    ingested_at: Time


class Rejection(Model):
    """A reading that was not accepted, by its place in the request."""

    index: int = Field(examples=[3])
    reason: str = Field(examples=["out_of_range"])
    field: str | None = Field(examples=["voltage"])
    detail: str = Field(examples=["voltage: Input should be less than or equal to 1000"])


class Accepted(Model):
    """What became of the readings of a request."""

    accepted: int = Field(examples=[1])
    rejected: list[Rejection]
