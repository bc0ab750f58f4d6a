"""One vehicle's day, read from PostgreSQL, and the days that may be asked for."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from psycopg.rows import DictRow

from api.figures.energies import Energy, HourEnergy
from api.figures.window import DayWindow, from_first_reading
from api.models.energy import Hour, Performance
from api.page.chart.day import Day
from api.page.chart.plot import pixel
from api.page.chart.strip import Band
from api.parts import Parts
from api.problems import Problem
from api.queries.begin import device_begin
from api.queries.current_state import current_state
from api.queries.devices import select_device
from api.queries.performance import vehicle_charging
from api.queries.refusals import schema_explained
from api.queries.vehicle_day import (
    Span,
    vehicle_coverage,
    vehicle_series,
    vehicle_sessions,
)
from api.queries.windows import EARLIEST, Window
from telemetry.streams import VEHICLE

MOST_SESSIONS = 50
MOST_ROWS = 500
"""The most rows of a table that grows with the readings or with the meters."""
MOST_METERS = 10
"""The most meters whose readings are shown, each in a strip of its own."""
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_POINT = timedelta(minutes=5)
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """The span that is drawn: a UTC day, or the last 24 hours if `day` is None.

    `is_young`: the 24 hours are cut to begin with the hour of the vehicle's first reading.
    """

    start: datetime
    end: datetime
    day: date | None
    now: datetime
    is_young: bool = False

    @property
    def known_until(self) -> datetime:
        """The end of the question: now, if the day is not over."""
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
    """Everything that the page of a vehicle shows."""

    asked: Asked
    performance: Performance
    chart: Day
    current: DictRow | None
    device: DictRow | None
    sessions: list[dict[str, Any]]
    unshown_meters: int
    """How many more meters there were than those whose readings are shown."""


def asked_day(text: str | None, now: datetime) -> Asked:
    """Return the UTC day that a text names, by default the last 24 hours; raises Problem (422)."""
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
    """Return a vehicle's day.

    The last 24 hours begin with the hour of its first reading, if that lies in them. Raises
    Problem (404 for a vehicle that is not known, 503).
    """
    if asked.day is None:
        asked = await _since_first_reading(parts, vehicle_id, asked)
    start, end = asked.start, asked.known_until
    if end <= start:  # midnight, to the microsecond
        end = start + timedelta(microseconds=1)
    window = Window(start, end)
    async with parts.database.snapshot() as connection, schema_explained():
        judged, charging = await vehicle_charging(connection, vehicle_id, window)
        series = await vehicle_series(connection, vehicle_id, window)
        sessions = await vehicle_sessions(connection, vehicle_id, window, limit=MOST_SESSIONS)
        current = await current_state(connection, VEHICLE, vehicle_id)
        device = await select_device(connection, VEHICLE, vehicle_id)
    meter_ids = list(dict.fromkeys(span.meter_id for span in judged.meters))
    shown_ids = meter_ids[:MOST_METERS]
    coverage = vehicle_coverage(
        charging,
        vehicle_id,
        window,
        apart=pixel(asked.start, asked.end),
        limit=MOST_ROWS,
    )
    every = timedelta(seconds=device["reading_interval_seconds"] if device else 60)
    chart = Day(
        vehicle_id=vehicle_id,
        window=(asked.start, asked.end),
        hours=[_hour(hour) for hour in judged.hourly],
        soc=_series(series, "soc"),
        temperature=_series(series, "temperature"),
        longest_gap=2 * max(_POINT, every),
        sessions=[_session(row, start, end) for row in sessions],
        meters=[
            Band(span.start, span.end, span.meter_id, f"meter {span.meter_id}")
            for span in judged.meters
        ],
        covered=_covered((vehicle_id, *shown_ids), coverage),
    )
    return VehicleDay(
        asked=asked,
        performance=judged,
        chart=chart,
        current=current,
        device=device,
        sessions=sessions,
        unshown_meters=len(meter_ids) - len(shown_ids),
    )


async def _since_first_reading(parts: Parts, vehicle_id: str, asked: Asked) -> Asked:
    async with parts.database.read() as connection, schema_explained():
        row = await device_begin(connection, VEHICLE, vehicle_id, asked.start, asked.end)
    start, _, is_young = from_first_reading(DayWindow(asked.start, asked.end, is_young=False), row)
    return replace(asked, start=start, is_young=is_young)


def _hour(hour: Hour) -> HourEnergy:
    # What is not known has no bar.
    energy = Energy(hour.ac_kwh or 0.0, hour.dc_kwh or 0.0)
    return HourEnergy(hour.start, hour.end, energy, judged=energy)


def _series(points: Iterable[DictRow], measure: str) -> list[tuple[datetime, float]]:
    """Return the points that have the measure."""
    return [(row["at"], row[measure]) for row in points if row[measure] is not None]


def _session(row: DictRow, start: datetime, end: datetime) -> Band:
    number = str(row["session_id"])
    title = f"session {number} at {row['meter_id']}"
    return Band(max(row["started_at"], start), min(row["ended_at"] or end, end), number, title)


def _covered(
    names: Iterable[str], coverage: Mapping[str, list[Span]]
) -> list[tuple[str, list[Band]]]:
    """Return the spans that each device's readings cover, in the order of these names."""
    return [
        (
            name,
            [
                Band(span.start, span.end, "", f"readings of {name}")
                for span in coverage.get(name, [])
            ],
        )
        for name in dict.fromkeys(names)
    ]
