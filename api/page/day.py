"""One vehicle's day out of PostgreSQL, and the days that may be asked for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby

from psycopg.rows import DictRow

from api.figures.energies import Band, Energy, HourEnergy
from api.figures.figures import Window, begun
from api.models import Hour, Performance
from api.page.chart.charts import Day
from api.page.chart.plot import pixel
from api.parts import Parts
from api.problems import Problem
from api.queries.rows import rows
from api.queries.windows import EARLIEST
from api.routes.analytics import performance
from api.times import format_time

MOST_SESSIONS = 50
MOST_ROWS = 500
"""Of the tables that grow with what devices and people have sent."""
MOST_METERS = 10
"""Whose readings are shown, each in a strip of its own."""
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_POINT = timedelta(minutes=5)
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """The span that is drawn, and the UTC day that it is; None for the last 24 hours.

    `is_young`: those from the hour on in which the vehicle's first reading was taken.
    """

    start: datetime
    end: datetime
    day: date | None
    now: datetime
    is_young: bool = False

    @property
    def known_until(self) -> datetime:
        """Where the question ends: of a day that is not over, now."""
        return min(self.end, self.now) if self.start < self.now else self.end

    @property
    def shown(self) -> date:
        return self.day or self.now.date()

    @property
    def before(self) -> date | None:
        return self.shown - _ONE_DAY if self.shown > EARLIEST.date() else None

    @property
    def after(self) -> date | None:
        return self.shown + _ONE_DAY if self.shown < self.now.date() else None


@dataclass(frozen=True, slots=True)
class VehicleDay:
    """All that the page of a vehicle tells."""

    asked: Asked
    performance: Performance
    chart: Day
    current: DictRow | None
    device: DictRow | None
    sessions: list[DictRow]
    unshown_meters: int
    """How many more meters there were than those whose readings are shown."""


def asked_day(text: str | None, now: datetime) -> Asked:
    """Return the UTC day that is asked for, by default the last 24 hours; raises Problem (422)."""
    if not text:
        end = now.replace(microsecond=0)
        return Asked(end - _ONE_DAY, end, None, now)
    try:
        # Newer versions of Python take other forms of ISO 8601, too.
        day = date.fromisoformat(text if _DAY.fullmatch(text) else "")
    except ValueError as error:
        raise Problem(422, "the day should be a date such as 2026-02-10", field="day") from error
    if not EARLIEST.date() <= day <= now.date():
        first, last = EARLIEST.date(), now.date()
        raise Problem(422, f"the day should lie between {first} and {last}, in UTC", field="day")
    start = datetime.combine(day, time(), UTC)
    return Asked(start, start + _ONE_DAY, day, now)


async def vehicle_day(parts: Parts, vehicle_id: str, asked: Asked) -> VehicleDay:
    """Return a vehicle's day; raises Problem (404 for one never heard of, 503).

    The last 24 hours begin with its first reading's hour, where that lies in them.
    """
    if asked.day is None:
        asked = await _begin(parts, vehicle_id, asked)
    start, end = asked.start, asked.known_until
    if end <= start:  # midnight, to the microsecond
        end = start + timedelta(microseconds=1)
    judged = await performance(parts, vehicle_id, start=format_time(start), end=format_time(end))
    meter_ids = list(dict.fromkeys(span.meter_id for span in judged.meters))
    asking = {"vehicle_id": vehicle_id, "device_id": vehicle_id, "start": start, "end": end}
    asking |= {"meter_ids": meter_ids[:MOST_METERS], "apart": pixel(asked.start, asked.end)}
    asking |= {"most": MOST_ROWS, "limit": MOST_SESSIONS}
    names = ("page_series", "page_coverage", "page_sessions", "current_vehicle", "select_vehicle")
    found = {}
    async with parts.database.snapshot() as connection:
        for name in names:
            found[name] = await rows(connection, name, **asking)
    device = next(iter(found["select_vehicle"]), None)
    every = timedelta(seconds=device["reading_interval_seconds"] if device else 60)
    return VehicleDay(
        asked=asked,
        performance=judged,
        chart=Day(
            vehicle_id=vehicle_id,
            window=(asked.start, asked.end),
            hours=[_hour(hour) for hour in judged.hourly],
            soc=_series(found["page_series"], "soc"),
            temperature=_series(found["page_series"], "temperature"),
            longest_gap=2 * max(_POINT, every),
            sessions=[_session(row, start, end) for row in found["page_sessions"]],
            meters=[
                Band(span.start, span.end, span.meter_id, f"meter {span.meter_id}")
                for span in judged.meters
            ],
            covered=_covered((vehicle_id, *meter_ids[:MOST_METERS]), found["page_coverage"]),
        ),
        current=next(iter(found["current_vehicle"]), None),
        device=device,
        sessions=found["page_sessions"],
        unshown_meters=max(len(meter_ids) - MOST_METERS, 0),
    )


async def _begin(parts: Parts, vehicle_id: str, asked: Asked) -> Asked:
    asking = {"vehicle_id": vehicle_id, "start": asked.start, "end": asked.end}
    async with parts.database.read() as connection:
        (row,) = await rows(connection, "page_vehicle_begin", **asking)
    start, _, is_young = begun(Window(asked.start, asked.end, is_young=False), row)
    return replace(asked, start=start, is_young=is_young)


def _hour(hour: Hour) -> HourEnergy:
    energy = Energy(hour.ac_kwh, hour.dc_kwh)
    return HourEnergy(hour.start, hour.end, energy, judged=energy)


def _series(points: Iterable[DictRow], measure: str) -> list[tuple[datetime, float]]:
    """Return the points of those readings that tell it."""
    return [(row["at"], row[measure]) for row in points if row[measure] is not None]


def _session(row: DictRow, start: datetime, end: datetime) -> Band:
    number = str(row["session_id"])
    title = f"session {number} at {row['meter_id']}"
    return Band(max(row["started_at"], start), min(row["ended_at"] or end, end), number, title)


def _covered(names: Iterable[str], rows: Iterable[DictRow]) -> list[tuple[str, list[Band]]]:
    """Return by device when its readings cover the day; one without any has no bands."""
    # The vehicle's own come first, and a meter may bear the same name.
    covered: dict[str, list[Band]] = {name: [] for name in names}
    for device_id, spans in groupby(rows, key=lambda row: row["device_id"]):
        bands = [Band(row["start"], row["end"], "", f"readings of {device_id}") for row in spans]
        covered.setdefault(device_id, []).extend(bands)
    return list(covered.items())
