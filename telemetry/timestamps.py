"""RFC 3339 timestamps as whole microseconds since 1970-01-01 UTC, and back. Pure."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
EARLIEST_US = (datetime(2000, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND

# RFC 3339, section 5.6, without the leap second. The hour is limited here because
# newer versions of `fromisoformat` take hour 24.
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_MILLISECONDS = {f".{number:03}Z": number * 1_000 for number in range(1_000)}
_LONGEST_READ = 32  # "2026-02-10T10:00:00.000000+00:00": fromisoformat needs no more digits


def parse_timestamp(text: str) -> int:
    """Return the instant in microseconds since 1970-01-01 UTC.

    Digits after the microsecond are cut off, not rounded.
    Raises ValueError for anything that is not an RFC 3339 timestamp of 2000-01-01 or later.
    """
    # Most are written as "2026-02-10T10:00:00.000Z", and many devices share a second.
    fraction = _MILLISECONDS.get(text[19:])
    return _parse(text) if fraction is None else _whole_second(text[:19]) + fraction


@lru_cache(maxsize=512)
def _whole_second(text: str) -> int:
    return _parse(f"{text}Z")


def _parse(text: str) -> int:
    if _RFC3339.fullmatch(text) is None:
        raise ValueError("not an RFC 3339 timestamp")
    if len(text) > _LONGEST_READ:
        text = _cut(text)
    instant = (datetime.fromisoformat(text.upper()) - EPOCH) // MICROSECOND
    if instant < EARLIEST_US:
        raise ValueError("earlier than 2000-01-01")
    return instant


def as_instant(at: datetime) -> int:
    """Return the time as whole microseconds since 1970-01-01 UTC."""
    return (at - EPOCH) // MICROSECOND


def as_datetime(instant_us: int) -> datetime:
    """Return the instant as a datetime in UTC."""
    return EPOCH + instant_us * MICROSECOND


def format_timestamp(instant_us: int) -> str:
    """Return the instant as RFC 3339 in UTC with microseconds."""
    return as_datetime(instant_us).isoformat(timespec="microseconds")


def _cut(text: str) -> str:
    """Return the text without the digits of the fraction after the sixth."""
    whole, fraction = text.split(".", 1)
    digits = re.match("[0-9]+", fraction)
    assert digits is not None  # noqa: S101  the pattern has matched, which mypy cannot know
    return f"{whole}.{digits[0][:6]}{fraction[digits.end() :]}"
