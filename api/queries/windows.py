"""The window of a question, start < recorded_at <= end, from the texts of a client. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from psycopg.rows import DictRow

from api.problems import Problem
from telemetry.timestamps import EARLIEST_US, as_datetime, parse_timestamp

DEFAULT = timedelta(hours=24)
# A month in which clocks are put back.
LONGEST = timedelta(days=31, hours=1)
_MINUTE = re.compile(r"(?P<minute>[\d-]{10}T\d\d:\d\d)(?P<offset>Z|[+-]\d\d:\d\d)", re.ASCII)
# Nothing earlier is stored, and a time further ahead is more likely a typing error.
EARLIEST = as_datetime(EARLIEST_US)
FURTHEST_AHEAD = timedelta(days=366)
# A past event may lie ahead of our clock by as much as a reading may.
CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time, both ends in UTC."""

    start: datetime
    end: datetime


def instant(text: str, field: str, now: datetime, *, ahead: timedelta = FURTHEST_AHEAD) -> datetime:
    """Return the UTC time that an RFC 3339 text names; the seconds may be missing.

    Raises Problem (422), which names the field, for any other text and for a time further ahead.
    """
    try:
        # In a query a plus sign stands for a blank, which RFC 3339 does not have.
        plain = text.replace(" ", "+")
        if (minute := _MINUTE.fullmatch(plain)) is not None:
            plain = f"{minute['minute']}:00{minute['offset']}"
        at = as_datetime(parse_timestamp(plain))
    except (ValueError, OverflowError) as error:  # the latter: past the last day of year 9999
        raise Problem(
            422,
            f"{field}: should be a time of RFC 3339 with its offset, 2000 or later",
            field=field,
        ) from error
    if at > now + ahead:
        raise Problem(422, f"{field}: lies too far ahead", field=field)
    return at


def cut_to_first(window: Window, row: DictRow) -> Window:
    """Return the window cut to begin with the hour of the first reading, if that lies in it.

    The row has `is_older`, whether one was sent by the start, and `first_at`, the time of the first
    one in the window or None.
    """
    if row["is_older"] or row["first_at"] is None:
        return window
    # A reading on the hour belongs to the hour that it ends.
    first = hour_of(row["first_at"] - timedelta(microseconds=1))
    return Window(max(window.start, first), window.end)


def hour_of(at: datetime) -> datetime:
    """Return the begin of the UTC hour that a window's hour lies in, by its start."""
    return at.replace(minute=0, second=0, microsecond=0)


def utc_day(at: datetime) -> tuple[datetime, datetime]:
    """Return the begin and the end of the UTC day of a time."""
    begin = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return begin, begin + timedelta(days=1)


def window(
    start: str | None,
    end: str | None,
    *,
    now: datetime,
    longest: timedelta | None = LONGEST,
    on_the_hour: bool = False,
) -> Window:
    """Return the window between two RFC 3339 texts, by default the last 24 hours.

    `on_the_hour`: without a start, begin with the hour in which it would lie. Raises Problem
    (422), which names the field.
    """
    last = now if end is None else instant(end, "end", now)
    if start is not None:
        first = instant(start, "start", now)
    else:
        first = last - DEFAULT
        if on_the_hour:
            first = first.replace(minute=0, second=0, microsecond=0)
    if first >= last:
        raise Problem(422, "start: should be earlier than the end", field="start")
    if longest is not None and last - first > longest:
        raise Problem(
            422, f"start: a window is at most {longest.days} days and an hour long", field="start"
        )
    return Window(first, last)
