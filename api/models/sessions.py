"""Charging sessions: how they begin and end, and their energy."""

from pydantic import Field

from api.models.bodies import Asked, DeviceId, Model
from api.times import Time


class SessionStart(Asked):
    """A charge that begins, by default now; with an end, the charge is over."""

    vehicle_id: DeviceId
    meter_id: DeviceId = Field(examples=["mtr-00042"])
    started_at: str | None = Field(None, max_length=64, examples=["2026-02-10T18:00:00Z"])
    ended_at: str | None = Field(None, max_length=64, examples=[None])


class SessionEnd(Asked):
    """When a charge ended, by default now."""

    ended_at: str | None = Field(None, max_length=64, examples=["2026-02-10T21:30:00Z"])


class SessionChange(Asked):
    """What to change of a charge; what is not sent stays, and a null end opens it again."""

    started_at: str | None = Field(None, max_length=64, examples=["2026-02-10T18:00:00Z"])
    ended_at: str | None = Field(None, max_length=64, examples=["2026-02-10T21:30:00Z"])


class Session(Model):
    """A charge and its energy so far."""

    session_id: int = Field(examples=[4711])
    vehicle_id: str = Field(examples=["veh-00042"])
    meter_id: str = Field(examples=["mtr-00042"])
    started_at: Time
    ended_at: Time | None
    ac_kwh: float | None = Field(examples=[31.2])
    dc_kwh: float | None = Field(examples=[28.4])
    ratio: float | None = Field(examples=[0.910256])
