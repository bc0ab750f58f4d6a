"""How well vehicles were charged: one, all, and those that stand out."""

from typing import Literal, get_args

from pydantic import BaseModel, Field

from api.models.bodies import Model
from api.times import Time

Band = Literal["optimal", "degraded", "critical"]
Status = Literal[Band, "implausible", "insufficient_data", "no_meter"]
BANDS: tuple[Band, ...] = get_args(Band)
STATUSES: tuple[Status, ...] = get_args(Status)


class WindowOut(Model):
    """The time that an answer is about, and when it was computed."""

    start: Time
    end: Time
    as_of: Time


class Energy(Model):
    """kWh, null if nothing is known of it; a loss may be negative."""

    ac_kwh: float | None = Field(examples=[150.5])
    dc_kwh: float | None = Field(examples=[138.2])
    loss_kwh: float | None = Field(examples=[12.3])


class Efficiency(Model):
    """DC over AC; `percentage` is rounded and only for reading."""

    ratio: float | None = Field(examples=[0.918272])
    percentage: float | None = Field(examples=[91.8])
    status: Status
    message: str = Field(examples=["91.8 % of the AC drawn was delivered as DC"])


class Battery(Model):
    """The mean of the readings' temperatures; null without readings."""

    average_temperature_c: float | None = Field(examples=[32.5])


class MeterSpan(Model):
    """A meter, and a time during which its energy belonged to the vehicle."""

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
    """A UTC hour, clipped to the window; an energy is null if nothing is known of it."""

    start: Time
    end: Time
    ac_kwh: float | None = Field(examples=[12.5])
    dc_kwh: float | None = Field(examples=[11.5])
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


class Share(Model):
    """A ratio of sums."""

    ratio: float | None = Field(examples=[0.902])


class MeterHour(Model):
    """A UTC hour, clipped to the window; an energy is null if nothing is known of it."""

    start: Time
    end: Time
    ac_kwh: float | None = Field(examples=[12.5])
    dc_kwh: float | None = Field(examples=[11.5])
    ratio: float | None = Field(examples=[0.92])


class ServedVehicle(Model):
    """What a vehicle took while it was at the meter, and what of the meter's energy was its own.

    `ac_kwh` is null if other vehicles were assigned all the time, too.
    """

    vehicle_id: str = Field(examples=["veh-00042"])
    ac_kwh: float | None = Field(examples=[75.2])
    dc_kwh: float | None = Field(examples=[69.1])


class MeterPerformance(Model):
    """How well the energy of a meter arrived at the vehicles that it served."""

    meter_id: str = Field(examples=["mtr-00042"])
    window: WindowOut
    energy: Energy
    efficiency: Share
    vehicles: list[ServedVehicle]
    quality: Quality
    hourly: list[MeterHour]


class Anomaly(Model):
    """A vehicle whose charging is inefficient or implausible."""

    vehicle_id: str = Field(examples=["veh-00042"])
    status: Status
    ratio: float = Field(examples=[0.712])
    percentage: float = Field(examples=[71.2])
    ac_kwh: float = Field(examples=[41.2])
    dc_kwh: float = Field(examples=[29.3])
    vehicle_coverage: float = Field(examples=[1.0])
    meter_coverage: float = Field(examples=[1.0])


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
    """How well all vehicles were charged: energy and ratio over those that have a band.

    `unjudged` is the energy of the others.
    """

    window: WindowOut
    energy: Energy
    efficiency: Share
    unjudged: Energy
    vehicles: Counts
    worst: list[Anomaly]
