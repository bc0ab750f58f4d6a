"""Registered meters and vehicles, how they are registered, and how they are changed."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from api.models.bodies import Asked, DeviceId, Model
from api.times import Time

Positive = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
Modulus = Annotated[float, Field(gt=0, le=1e7, allow_inf_nan=False)]
Step = Annotated[float, Field(gt=0, le=1_000, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Kind = Literal["interval", "register"]
Label = Annotated[str, Field(max_length=200, pattern="^[^\\x00]*$")]
Vin = Annotated[str, Field(pattern="^[A-HJ-NPR-Z0-9]{17}$", max_length=17)]

_SINCE: dict[str, Any] = {
    "max_length": 64,
    "examples": ["2026-02-10T00:00:00Z"],
    "description": "from when on a change of what energy depends on holds; by default now",
}
_HELD_SINCE = "from when on what energy depends on holds; null if it always has"
_STEP = "by how much the counter rises at a time"
_ONLY_CHARGING = "whether silence outside of sessions means that nothing was delivered"
STEP_MISFIT = "registerStepKwh should be less than registerModulusKwh"


def step_fits(step: float, modulus: float | None) -> bool:
    """Return whether a counter that begins anew at this modulus has room for a step."""
    return modulus is None or step < modulus


class NewMeter(Asked):
    """A meter to be registered."""

    meter_id: DeviceId = Field(examples=["mtr-00042"])
    location: Label | None = Field(None, examples=["Depot 3, bay 12"])
    site: Label | None = Field(None, examples=["Depot 3"])
    label: Label | None = Field(None, examples=["Bay 12"])
    capacity_kw: Positive | None = Field(None, examples=[11.0])
    reading_kind: Kind = "interval"
    register_step_kwh: Step = Field(1, description=_STEP)
    register_modulus_kwh: Modulus | None = Field(None, examples=[None])
    reading_interval_seconds: Seconds = 60

    @field_validator("register_modulus_kwh")
    @classmethod
    def fits_step(cls, modulus: float | None, info: ValidationInfo) -> float | None:
        """Return the modulus; raises ValueError unless a step is less."""
        step = info.data.get("register_step_kwh")
        if step is not None and not step_fits(step, modulus):
            raise ValueError(STEP_MISFIT)
        return modulus


class MeterChange(Asked):
    """What to change of a meter; fields that are not sent stay as they are."""

    location: Label | None = None
    site: Label | None = None
    label: Label | None = None
    capacity_kw: Positive | None = Field(None, examples=[22.0])
    reading_kind: Kind | None = None
    register_modulus_kwh: Modulus | None = None
    register_step_kwh: Step | None = Field(None, examples=[0.1], description=_STEP)
    reading_interval_seconds: Seconds | None = None
    valid_from: str | None = Field(None, **_SINCE)


class Meter(Model):
    """A registered meter."""

    meter_id: str = Field(examples=["mtr-00042"])
    location: str | None
    site: str | None
    label: str | None
    capacity_kw: float | None
    reading_kind: Kind
    register_modulus_kwh: float | None
    register_step_kwh: float = Field(description=_STEP)
    reading_interval_seconds: float
    valid_from: Time | None = Field(description=_HELD_SINCE)
    created_at: Time
    updated_at: Time


class NewVehicle(Asked):
    """A vehicle to be registered."""

    vehicle_id: DeviceId
    vin: Vin | None = Field(None, examples=["WVWZZZE1ZMP000042"])
    model: Label | None = Field(None, examples=["e-Van 77"])
    label: Label | None = Field(None, examples=["Van 42"])
    battery_capacity_kwh: Positive | None = Field(None, examples=[77.0])
    max_ac_kw: Positive | None = Field(None, examples=[11.0])
    reading_kind: Kind = "interval"
    reading_interval_seconds: Seconds = 60
    reports_only_while_charging: bool = Field(default=False, description=_ONLY_CHARGING)


class VehicleChange(Asked):
    """What to change of a vehicle; fields that are not sent stay as they are."""

    vin: Vin | None = None
    model: Label | None = None
    label: Label | None = None
    battery_capacity_kwh: Positive | None = None
    max_ac_kw: Positive | None = Field(None, examples=[22.0])
    reading_kind: Kind | None = None
    reading_interval_seconds: Seconds | None = None
    reports_only_while_charging: bool | None = Field(None, description=_ONLY_CHARGING)
    valid_from: str | None = Field(None, **_SINCE)


class Vehicle(Model):
    """A registered vehicle."""

    vehicle_id: str = Field(examples=["veh-00042"])
    vin: str | None
    model: str | None
    label: str | None
    battery_capacity_kwh: float | None
    max_ac_kw: float | None
    reading_kind: Kind
    reading_interval_seconds: float
    reports_only_while_charging: bool = Field(description=_ONLY_CHARGING)
    valid_from: Time | None = Field(description=_HELD_SINCE)
    created_at: Time
    updated_at: Time
