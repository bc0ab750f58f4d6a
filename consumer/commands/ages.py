"""Ages as options have them: 30d, 12h or 90m."""

import re
from datetime import UTC, datetime, timedelta

from runtime.terminal import fail

_AGE = re.compile(r"([0-9]{1,6})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def time_ago(option: str, age: str, *, least: timedelta = timedelta()) -> datetime:
    """Return the time that was so long ago; what is no age ends the command with 2."""
    match = _AGE.fullmatch(age)
    if match is None:
        fail(f"{option}: {age!r} is no age such as 30d, 12h or 90m", code=2)
    try:
        since = timedelta(**{_UNITS[match[2]]: int(match[1])})
        before = datetime.now(UTC) - since
    except OverflowError:
        fail(f"{option}: {age!r} ago is before the year 1", code=2)
    if since < least:
        fail(f"{option}: {age!r} is less than {least}", code=2)
    return before
