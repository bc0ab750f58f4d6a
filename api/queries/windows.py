"""The time that a question is about: start < recorded_at <= end. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from api.problems import Problem
from telemetry.timestamps import as_datetime, parse_timestamp

DEFAULT = timedelta(hours=24)
LONGEST = timedelta(days=31)
# Beyond these nothing can be stored, and a typing error is likelier than a question.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
FURTHEST_AHEAD = timedelta(days=366)
# What has happened may lie ahead by as much as clocks differ, as a reading may.
CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time, both ends in UTC."""

    start: datetime
    end: datetime


def instant(text: str, field: str, now: datetime, *, ahead: timedelta = FURTHEST_AHEAD) -> datetime:
    """Return the time that an RFC 3339 text names; raises Problem (422) with the field named."""
    try:
        # In a query a plus sign stands for a blank; no time holds one otherwise.
        at = as_datetime(parse_timestamp(text.replace(" ", "+")))
    except (ValueError, OverflowError) as error:  # the latter: past the last day of year 9999
        raise Problem(
            422,
            f"{field}: should be a time of RFC 3339 with its offset, 2000 or later",
            field=field,
        ) from error
    if at > now + ahead:
        raise Problem(422, f"{field}: lies too far ahead", field=field)
    return at


def utc_day(at: datetime) -> tuple[datetime, datetime]:
    """Return when the UTC day of a time begins and ends."""
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
    """Return the window that is asked for, by default the last 24 hours.

    `on_the_hour`: where no start is asked for, that of the hour in which it would lie. Raises
    Problem (422) with the field named.
    """
    last = now if end is None else instant(end, "end", now)
    if start is not None:
        first = instant(start, "start", now)
    else:
        first = last - DEFAULT
        if on_the_hour:
            first = first.replace(minute=0, second=0, microsecond=0)
    if first >= last:
        raise Problem(422, "start: should be earlier than end", field="start")
    if longest is not None and last - first > longest:
        raise Problem(422, f"start: a window is at most {longest.days} days long", field="start")
    return Window(first, last)
