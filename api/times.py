"""Times as this API writes them: RFC 3339 in UTC. Pure."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import PlainSerializer, WithJsonSchema

AS_OF = "X-Wattline-As-Of"
"""The header of an answer by a replica: of which time it is."""


def format_time(at: datetime) -> str:
    """Return the time with milliseconds, or with microseconds if it has any."""
    precision = "microseconds" if at.microsecond % 1_000 else "milliseconds"
    return at.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


Time = Annotated[
    datetime,
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-02-10T10:00:00.000Z"]}
    ),
]
