"""Which meter charges a vehicle, and when."""

from pydantic import Field

from api.models.bodies import Asked, DeviceId, Model
from api.times import Time


class NewAssignment(Asked):
    """Which meter charges the vehicle, from when, and until when; open without an end."""

    meter_id: DeviceId = Field(examples=["mtr-00042"])
    start: str = Field(max_length=64, examples=["2026-02-10T00:00:00Z"])
    end: str | None = Field(None, max_length=64, examples=[None])


class NewVehicleAssignment(NewAssignment):
    """The same of a vehicle that is named: an item of a batch."""

    vehicle_id: DeviceId


class AssignmentChange(Asked):
    """What to change of an assignment; what is not sent stays, and a null end opens it again."""

    start: str | None = Field(None, max_length=64, examples=["2026-02-10T00:00:00Z"])
    end: str | None = Field(None, max_length=64, examples=["2026-03-01T00:00:00Z"])


class Assignment(Model):
    """Which meter charges a vehicle; `end` is null while that is open."""

    assignment_id: int = Field(examples=[17])
    meter_id: str = Field(examples=["mtr-00042"])
    start: Time
    end: Time | None


class VehicleAssignment(Assignment):
    """The same with the vehicle."""

    vehicle_id: str = Field(examples=["veh-00042"])
