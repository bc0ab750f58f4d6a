"""Options that name topics, times and ages. A wrong one ends the command with exit code 2."""

import re
from datetime import UTC, datetime, timedelta

from runtime.terminal import fail
from telemetry.streams import BY_TOPIC
from telemetry.timestamps import as_datetime, parse_timestamp

_AGE = re.compile(r"([0-9]{1,6})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def topics_of(topic: str | None) -> list[str]:
    """Return the topics that --topic means: all if it is not given."""
    if topic is not None and topic not in BY_TOPIC:
        fail(f"--topic: {topic!r} is not one of {', '.join(BY_TOPIC)}", code=2)
    return list(BY_TOPIC) if topic is None else [topic]


def time_of(option: str, text: str | None) -> datetime | None:
    """Return the time that an option gives by RFC 3339, None if it is not given."""
    return None if text is None else given_time(option, text)


def given_time(option: str, text: str) -> datetime:
    """Return the time that an option gives by RFC 3339."""
    try:
        return as_datetime(parse_timestamp(text))
    except ValueError as error:
        fail(f"{option}: {text!r} is {error}", code=2)
    except OverflowError:
        fail(f"{option}: {text!r} is past the year 9999", code=2)


def time_ago(option: str, age: str, *, least: timedelta = timedelta()) -> datetime:
    """Return the time that was so long ago; ages are given as 30d, 12h or 90m."""
    match = _AGE.fullmatch(age)
    if match is None:
        fail(f"{option}: {age!r} is not an age such as 30d, 12h or 90m", code=2)
    try:
        since = timedelta(**{_UNITS[match[2]]: int(match[1])})
        before = datetime.now(UTC) - since
    except OverflowError:
        fail(f"{option}: {age!r} ago is before the year 1", code=2)
    if since < least:
        fail(f"{option}: {age!r} is less than {least}", code=2)
    return before
