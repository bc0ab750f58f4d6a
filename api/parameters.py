"""Parameters of paths and queries that several routes and pages take."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import AliasChoices

from telemetry.readings import DEVICE_ID

DevicePath = Annotated[str, Path(pattern=f"^{DEVICE_ID}$", max_length=64)]
# The ends of a window have other names in the systems that this one follows.
Start = Annotated[
    str | None,
    Query(
        validation_alias=AliasChoices("start", "startTime", "from"),
        max_length=64,
        description="RFC 3339; by default 24 hours before the end; also `startTime` or `from`",
    ),
]
End = Annotated[
    str | None,
    Query(
        validation_alias=AliasChoices("end", "endTime", "to"),
        max_length=64,
        description="RFC 3339; by default now; also `endTime` or `to`",
    ),
]
