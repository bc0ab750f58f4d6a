"""The two charts: the fleet's hours, and one vehicle's day. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup

from api.figures.energies import DEGRADED, LEAST_KWH, OPTIMAL, Band, HourEnergy, total
from api.page import words
from api.page.chart import plot
from api.page.chart.plot import NARROW, WIDE, Panel
from api.page.chart.scale import lines, ticks
from api.page.chart.svg import tag

Times = tuple[datetime, datetime]
Series = Sequence[tuple[datetime, float]]

_LOWEST_PERCENT = 60.0
# What is beyond lies at the edge: it is as wrong, and would flatten all others.
_HIGHEST_PERCENT = 150.0


def fleet_chart(window: Times, hours: Sequence[HourEnergy]) -> Markup:
    """Return the fleet's energy and ratio by the hour, for wide screens and for narrow ones."""
    return Markup().join(_fleet(window, hours, width) for width in (WIDE, NARROW))


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What is drawn of a vehicle's day."""

    vehicle_id: str
    window: Times
    hours: Sequence[HourEnergy]
    soc: Series
    temperature: Series
    longest_gap: timedelta
    sessions: Sequence[Band]
    meters: Sequence[Band]
    covered: Sequence[tuple[str, Sequence[Band]]]
    """By whom, and when."""


def day_chart(day: Day) -> Markup:
    """Return the day, for wide screens and for narrow ones."""
    return Markup().join(_day(day, width) for width in (WIDE, NARROW))


def _fleet(window: Times, hours: Sequence[HourEnergy], width: int) -> Markup:
    judged = [
        (_middle(h), 100 * h.ratio)
        for h in hours
        if h.ratio is not None and h.judged.ac_kwh >= LEAST_KWH
    ]
    lowest = min([_LOWEST_PERCENT + 5, *(value for _, value in judged)])
    highest = min(max([100.0, *(value for _, value in judged)]), _HIGHEST_PERCENT)
    percents = ticks(max(lowest - 5, 0), highest, 5)
    above = plot.panel(window, percents, width=width, top=30, height=150)
    below, energies = _energy_panel(window, hours, width=width, top=232, height=150)
    parts = [
        plot.heading(above, "Ratio, DC ÷ AC"),
        plot.value_axis(above, percents, " %"),
        plot.limit(above, 100 * OPTIMAL, "85 % optimal from here"),
        plot.limit(above, 100 * DEGRADED, "75 % critical below"),
        plot.curve(above, lines(judged, timedelta(minutes=90)), "ratio"),
        plot.dots(above, judged, "ratio"),
        plot.heading(below, "Energy, kWh an hour"),
        _energy_key(below),
        energies,
        plot.time_axis(below.x, below.bottom),
        plot.hover(below.x, [(h, _said(h)) for h in hours], above.top, below.bottom),
    ]
    ac, dc = total(h.energy for h in hours)
    return plot.drawing(
        parts,
        name="fleet",
        width=width,
        height=below.bottom + 38,
        title="Energy and ratio of the fleet by the hour",
        description=(
            f"{words.moment(window[0])} to {words.moment(window[1])}: {words.kwh(ac)} AC drawn and"
            f" {words.kwh(dc)} DC delivered, of all vehicles. The table below has every hour."
        ),
    )


def _day(day: Day, width: int) -> Markup:
    window = day.window
    energy, energies = _energy_panel(window, day.hours, width=width, top=30, height=130)
    soc = plot.panel(window, (0, 100), width=width, top=204, height=100)
    degrees = [value for _, value in day.temperature] or [0.0, 30.0]
    marks = ticks(min(degrees) - 1, max(degrees) + 1, 4)
    heat = plot.panel(window, marks, width=width, top=348, height=80)
    parts = [
        plot.heading(energy, "Energy, kWh an hour"),
        _energy_key(energy),
        energies,
        plot.heading(soc, "State of charge"),
        plot.value_axis(soc, (0, 25, 50, 75, 100), " %"),
        plot.filled(soc, lines(day.soc, day.longest_gap), "soc"),
        plot.heading(heat, "Battery temperature"),
        plot.value_axis(heat, marks, " °C"),
        plot.curve(heat, lines(day.temperature, day.longest_gap), "temperature"),
    ]
    top = heat.bottom + 40
    rows = [("Meters", day.meters, "meter"), ("Sessions", day.sessions, "session")]
    rows += [(f"Readings of {who}", bands, "covered") for who, bands in day.covered]
    for name, bands, kind in rows:
        height = 10 if kind == "covered" else 20
        parts.append(tag("text", name, x=0, y=top - 6, class_="heading"))
        if not bands:
            name_width = 7.5 * len(name) + 12
            parts.append(tag("text", "none", x=name_width, y=top - 6, class_="tick start"))
        parts.append(plot.strip(energy.x, bands, top=top, height=height, kind=kind))
        top += height + 28
    bottom = top - 18
    parts.append(plot.time_axis(energy.x, bottom))
    columns = [(h, _said(h)) for h in day.hours]
    parts.append(plot.hover(energy.x, columns, energy.top, heat.bottom))
    return plot.drawing(
        parts,
        name="day",
        width=width,
        height=bottom + 38,
        title=f"{day.vehicle_id} by the hour",
        description=(
            f"{words.moment(window[0])} to {words.moment(window[1])}: AC and DC energy, state of"
            " charge, battery temperature, the meters and sessions, and when readings came. The"
            " tables below the chart have the figures."
        ),
    )


def _energy_panel(
    window: Times, hours: Sequence[HourEnergy], *, width: int, top: float, height: float
) -> tuple[Panel, Markup]:
    most = max([0.0, *(max(hour.energy) for hour in hours)])
    marks = ticks(0, max(most, LEAST_KWH), 4)
    at = plot.panel(window, marks, width=width, top=top, height=height)
    return at, plot.value_axis(at, marks, "") + plot.bars(at, hours)


def _energy_key(at: Panel) -> Markup:
    """Return what the two kinds of bars are, at the right above them."""
    right, y = at.x.end, at.top - 14
    return Markup().join(
        [
            tag("rect", x=right - 174, y=y - 9, width=10, height=10, class_="ac"),
            tag("text", "AC drawn", x=right - 160, y=y, class_="tick start"),
            tag("rect", x=right - 92, y=y - 9, width=10, height=10, class_="dc"),
            tag("text", "DC delivered", x=right - 78, y=y, class_="tick start"),
        ]
    )


def _middle(hour: HourEnergy) -> datetime:
    return hour.start + (hour.end - hour.start) / 2


def _said(hour: HourEnergy) -> str:
    return (
        f"{words.hours(hour.start, hour.end)}: AC {words.kwh(hour.energy.ac_kwh)}, DC"
        f" {words.kwh(hour.energy.dc_kwh)}, ratio {words.ratio(hour.ratio)}"
        + (f" of {words.kwh(hour.judged.ac_kwh)} AC" if hour.judged != hour.energy else "")
    )
