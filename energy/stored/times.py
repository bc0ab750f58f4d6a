"""Times of the database as microseconds since 1970, and back."""

from datetime import UTC, datetime, timedelta

from energy.device import FOREVER

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# No reading is older (docs/api.md).
EARLIEST_US = 946_684_800_000_000 - 1
_MICROSECOND = timedelta(microseconds=1)


def as_us(at: datetime) -> int:
    """Return a time as microseconds since 1970."""
    return (at - EPOCH) // _MICROSECOND


def end_us(at: datetime | None) -> int:
    """Return the end of what has none yet as `FOREVER`."""
    return FOREVER if at is None else as_us(at)


def as_datetime(at: int) -> datetime:
    """Return microseconds since 1970 as a time in UTC."""
    return EPOCH + timedelta(microseconds=at)
