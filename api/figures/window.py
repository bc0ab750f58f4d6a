"""The last 24 hours, or as many of them as there are readings of. Pure."""

from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg.rows import DictRow

DAY = timedelta(hours=24)
HOUR = timedelta(hours=1)


class DayWindow(NamedTuple):
    """The last 24 hours; `is_young`: they are cut to begin with the first reading's hour."""

    start: datetime
    end: datetime
    is_young: bool

    @property
    def hours(self) -> list[datetime]:
        """When the window's UTC hours begin; one that begins at its end is left out."""
        starts = []
        at = self.start
        while at < self.end:
            starts.append(at)
            at += HOUR
        return starts


def from_first_reading(window: DayWindow, row: DictRow) -> DayWindow:
    """Return the window cut to begin with the hour of the first reading, if that lies in it.

    The row has `is_older` and `first_at`, as `fleet_begin` and `vehicle_begin` return them.
    """
    if row["is_older"] or row["first_at"] is None:
        return window
    # A reading on the hour belongs to the hour that it ends.
    first = row["first_at"] - timedelta(microseconds=1)
    start = max(window.start, first.replace(minute=0, second=0, microsecond=0))
    return DayWindow(start, window.end, is_young=start > window.start)
