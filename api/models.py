"""The bodies that are sent and taken, in camelCase."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from api.times import Time
from telemetry.readings import DEVICE_ID

DeviceId = Annotated[str, Field(pattern=f"^{DEVICE_ID}$", max_length=64, examples=["veh-00042"])]
Status = Literal["optimal", "degraded", "critical", "implausible", "insufficient_data", "no_meter"]


class Model(BaseModel):
    """A body that is sent."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, from_attributes=True
    )


class Asked(BaseModel):
    """A body that is taken; unknown fields are refused, as they may be typing errors."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, strict=True, extra="forbid"
    )


class _MeterReading(Model):
    """What a meter has sent."""

    meter_id: str = Field(examples=["mtr-00042"])
    kwh_consumed_ac: float = Field(examples=[0.913])
    voltage: float | None = Field(examples=[229.8])
    timestamp: Time


class MeterState(_MeterReading):
    """A meter's newest reading, and when it became that."""

    updated_at: Time


class StoredMeterReading(_MeterReading):
    """A meter's reading of its history, and when it was stored."""

    ingested_at: Time


class _VehicleReading(Model):
    """What a vehicle has sent."""

    vehicle_id: str = Field(examples=["veh-00042"])
    soc: float | None = Field(examples=[57.3])
    kwh_delivered_dc: float = Field(examples=[0.842])
    battery_temp: float | None = Field(examples=[31.4])
    timestamp: Time


class VehicleState(_VehicleReading):
    """A vehicle's newest reading, and when it became that."""

    updated_at: Time


class StoredVehicleReading(_VehicleReading):
    """A vehicle's reading of its history, and when it was stored."""

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


class WindowOut(Model):
    """The time that an answer is about, and when it was computed."""

    start: Time
    end: Time
    as_of: Time


class Energy(Model):
    """kWh; a loss may be negative."""

    ac_kwh: float = Field(examples=[150.5])
    dc_kwh: float = Field(examples=[138.2])
    loss_kwh: float = Field(examples=[12.3])


class Efficiency(Model):
    """DC over AC; the percentage is rounded, for reading only."""

    ratio: float | None = Field(examples=[0.918272])
    percentage: float | None = Field(examples=[91.8])
    status: Status
    message: str = Field(examples=["91.8 % of the AC drawn was delivered as DC"])


class Battery(Model):
    """The mean of the readings' temperatures; null without readings."""

    average_temperature_c: float | None = Field(examples=[32.5])


class MeterSpan(Model):
    """A meter, and a time for which its energy was the vehicle's."""

    meter_id: str = Field(examples=["mtr-00042"])
    start: Time
    end: Time


class Quality(Model):
    """How far an answer can be trusted."""

    vehicle_readings: int = Field(examples=[1440])
    meter_readings: int = Field(examples=[1438])
    vehicle_coverage: float = Field(examples=[1.0])
    meter_coverage: float = Field(examples=[0.9986])
    reasons: list[str] = Field(examples=[["shared_meter"]])


class Hour(Model):
    """A UTC hour, clipped to the window."""

    start: Time
    end: Time
    ac_kwh: float = Field(examples=[12.5])
    dc_kwh: float = Field(examples=[11.5])
    ratio: float | None = Field(examples=[0.92])
    average_temperature_c: float | None = Field(examples=[30.2])
    readings: int = Field(examples=[60])


class Performance(Model):
    """How well a vehicle was charged."""

    vehicle_id: str = Field(examples=["veh-00042"])
    window: WindowOut
    energy: Energy
    efficiency: Efficiency
    battery: Battery
    meters: list[MeterSpan]
    quality: Quality
    sessions: int = Field(examples=[3])
    hourly: list[Hour]


class Anomaly(Model):
    """A vehicle whose charging is poor, or cannot be."""

    vehicle_id: str = Field(examples=["veh-00042"])
    status: Status
    ratio: float = Field(examples=[0.712])
    percentage: float = Field(examples=[71.2])
    ac_kwh: float = Field(examples=[41.2])
    dc_kwh: float = Field(examples=[29.3])
    vehicle_coverage: float = Field(examples=[1.0])
    meter_coverage: float = Field(examples=[1.0])


class Share(Model):
    """A ratio of sums."""

    ratio: float | None = Field(examples=[0.902])


class Counts(BaseModel):
    """How many vehicles there are, and of each status."""

    total: int
    optimal: int
    degraded: int
    critical: int
    implausible: int
    insufficient_data: int
    no_meter: int


class Fleet(Model):
    """How well all vehicles were charged: energy and ratio over those that have a band."""

    window: WindowOut
    energy: Energy
    efficiency: Share
    vehicles: Counts
    worst: list[Anomaly]


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
    """What is to be changed of a meter; what is not there stays."""

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
    """What is to be changed of a vehicle; what is not there stays."""

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


class NewAssignment(Asked):
    """Which meter charges the vehicle, from when, and until when; open without an end."""

    meter_id: DeviceId = Field(examples=["mtr-00042"])
    start: str = Field(max_length=64, examples=["2026-02-10T00:00:00Z"])
    end: str | None = Field(None, max_length=64, examples=[None])


class AssignmentEnd(Asked):
    """When an assignment ends; null opens it again."""

    end: str | None = Field(max_length=64, examples=["2026-03-01T00:00:00Z"])


class Assignment(Model):
    """Which meter charges a vehicle; `end` is null while that is open."""

    assignment_id: int = Field(examples=[17])
    meter_id: str = Field(examples=["mtr-00042"])
    start: Time
    end: Time | None


class SessionStart(Asked):
    """A charge that begins, by default now; with an end, one that is over."""

    vehicle_id: DeviceId
    meter_id: DeviceId = Field(examples=["mtr-00042"])
    started_at: str | None = Field(None, max_length=64, examples=["2026-02-10T18:00:00Z"])
    ended_at: str | None = Field(None, max_length=64, examples=[None])


class SessionEnd(Asked):
    """When a charge ended, by default now."""

    ended_at: str | None = Field(None, max_length=64, examples=["2026-02-10T21:30:00Z"])


class Session(Model):
    """A charge, and what it came to so far."""

    session_id: int = Field(examples=[4711])
    vehicle_id: str = Field(examples=["veh-00042"])
    meter_id: str = Field(examples=["mtr-00042"])
    started_at: Time
    ended_at: Time | None
    ac_kwh: float = Field(examples=[31.2])
    dc_kwh: float = Field(examples=[28.4])
    ratio: float | None = Field(examples=[0.910256])
