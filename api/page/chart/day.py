"""One vehicle's day: energy, state of charge, temperature, meters, sessions, readings. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup

from api.figures.energies import HourEnergy
from api.page import words
from api.page.chart import plot
from api.page.chart.energy import energy_key, energy_panel, hover
from api.page.chart.plot import NARROW, WIDE
from api.page.chart.scale import lines, ticks
from api.page.chart.strip import Band, strip
from api.page.chart.svg import tag

Series = Sequence[tuple[datetime, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What is drawn of a vehicle's day."""

    vehicle_id: str
    window: tuple[datetime, datetime]
    hours: Sequence[HourEnergy]
    soc: Series
    temperature: Series
    longest_gap: timedelta
    sessions: Sequence[Band]
    meters: Sequence[Band]
    covered: Sequence[tuple[str, Sequence[Band]]]
    """By which device's readings, and when."""


def day_chart(day: Day) -> Markup:
    """Return the day, for wide screens and for narrow ones."""
    return Markup().join(_day(day, width) for width in (WIDE, NARROW))


def _day(day: Day, width: int) -> Markup:
    window = day.window
    energy, energies = energy_panel(window, day.hours, width=width, top=30, height=130)
    soc = plot.panel(window, (0, 100), width=width, top=204, height=100)
    degrees = [value for _, value in day.temperature] or [0.0, 30.0]
    marks = ticks(min(degrees) - 1, max(degrees) + 1, 4)
    heat = plot.panel(window, marks, width=width, top=348, height=80)
    parts = [
        plot.heading(energy, "Energy, kWh an hour"),
        energy_key(energy),
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
        parts.append(strip(energy.x, bands, top=top, height=height, kind=kind))
        top += height + 28
    bottom = top - 18
    parts.append(plot.time_axis(energy.x, bottom))
    parts.append(hover(energy.x, day.hours, energy.top, heat.bottom))
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
