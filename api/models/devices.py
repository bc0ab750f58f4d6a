"""Registered meters and vehicles, how they are registered, and how they are changed."""

from typing import Annotated, Literal

from pydantic import Field

from api.models.bodies import Asked, DeviceId, Model
from api.times import Time

Positive = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
Kind = Literal["interval", "register"]
Label = Annotated[str, Field(max_length=200, pattern="^[^\\x00]*$")]


class NewMeter(Asked):
    """A meter to be registered."""

    meter_id: DeviceId = Field(examples=["mtr-00042"])
    location: Label | None = Field(None, examples=["Depot 3, bay 12"])
    capacity_kw: Positive | None = Field(None, examples=[11.0])
    reading_kind: Kind = "interval"
    register_modulus_kwh: Annotated[float, Field(gt=0, le=1e7, allow_inf_nan=False)] | None = Field(
        None, examples=[None]
    )
    reading_interval_seconds: Annotated[float, Field(gt=0, le=86_400)] = 60


class MeterChange(Asked):
    """What to change of a meter; fields that are not sent stay as they are."""

    location: Label | None = None
    capacity_kw: Positive | None = Field(None, examples=[22.0])
    reading_kind: Kind | None = None
    register_modulus_kwh: Annotated[float, Field(gt=0, le=1e7, allow_inf_nan=False)] | None = None
    reading_interval_seconds: Annotated[float, Field(gt=0, le=86_400)] | None = None


class Meter(Model):
    """A registered meter."""

    meter_id: str = Field(examples=["mtr-00042"])
    location: str | None
    capacity_kw: float | None
    reading_kind: Kind
    register_modulus_kwh: float | None
    reading_interval_seconds: float
    created_at: Time
    updated_at: Time


class NewVehicle(Asked):
    """A vehicle to be registered."""

    vehicle_id: DeviceId
    model: Label | None = Field(None, examples=["e-Van 77"])
    battery_capacity_kwh: Positive | None = Field(None, examples=[77.0])
    max_ac_kw: Positive | None = Field(None, examples=[11.0])
    reading_kind: Kind = "interval"
    reading_interval_seconds: Annotated[float, Field(gt=0, le=86_400)] = 60


class VehicleChange(Asked):
    """What to change of a vehicle; fields that are not sent stay as they are."""

    model: Label | None = None
    battery_capacity_kwh: Positive | None = None
    max_ac_kw: Positive | None = Field(None, examples=[22.0])
    reading_kind: Kind | None = None
    reading_interval_seconds: Annotated[float, Field(gt=0, le=86_400)] | None = None


class Vehicle(Model):
    """A registered vehicle."""

    vehicle_id: str = Field(examples=["veh-00042"])
    model: str | None
    battery_capacity_kwh: float | None
    max_ac_kw: float | None
    reading_kind: Kind
    reading_interval_seconds: float
    created_at: Time
    updated_at: Time
