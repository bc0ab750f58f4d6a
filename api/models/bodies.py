"""What all bodies share: names in camelCase, and how strictly they are read."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from telemetry.readings import DEVICE_ID

DeviceId = Annotated[str, Field(pattern=f"^{DEVICE_ID}$", max_length=64, examples=["veh-00042"])]


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
