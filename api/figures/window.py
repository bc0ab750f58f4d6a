"""The last 24 hours, or as many of them as there are readings of. Pure."""

from dataclasses import astuple
from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg.rows import DictRow

from api.queries.windows import Window, cut_to_first

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
    """Return the window cut by `cut_to_first`."""
    start, end = astuple(cut_to_first(Window(window.start, window.end), row))
    return DayWindow(start, end, is_young=start > window.start)
