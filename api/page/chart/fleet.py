"""The fleet's energy and ratio by the hour. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from markupsafe import Markup

from api.figures.energies import DEGRADED, LEAST_KWH, OPTIMAL, HourEnergy, total
from api.page import words
from api.page.chart import plot
from api.page.chart.energy import energy_key, energy_panel, hover
from api.page.chart.plot import NARROW, WIDE
from api.page.chart.scale import lines, ticks

_LOWEST_PERCENT = 60.0
# A higher ratio is drawn at the edge: it is as wrong there, and would flatten all others.
_HIGHEST_PERCENT = 150.0


def fleet_chart(window: tuple[datetime, datetime], hours: Sequence[HourEnergy]) -> Markup:
    """Return the fleet's energy and ratio by the hour, for wide screens and for narrow ones."""
    return Markup().join(_fleet(window, hours, width) for width in (WIDE, NARROW))


def _fleet(window: tuple[datetime, datetime], hours: Sequence[HourEnergy], width: int) -> Markup:
    judged = [
        (_middle(h), 100 * h.ratio)
        for h in hours
        if h.ratio is not None and h.judged.ac_kwh >= LEAST_KWH
    ]
    lowest = min([_LOWEST_PERCENT + 5, *(value for _, value in judged)])
    highest = min(max([100.0, *(value for _, value in judged)]), _HIGHEST_PERCENT)
    percents = ticks(max(lowest - 5, 0), highest, 5)
    above = plot.panel(window, percents, width=width, top=30, height=150)
    below, energies = energy_panel(window, hours, width=width, top=232, height=150)
    parts = [
        plot.heading(above, "Ratio, DC ÷ AC"),
        plot.value_axis(above, percents, " %"),
        plot.limit(above, 100 * OPTIMAL, "85 % optimal from here"),
        plot.limit(above, 100 * DEGRADED, "75 % critical below"),
        plot.curve(above, lines(judged, timedelta(minutes=90)), "ratio"),
        plot.dots(above, judged, "ratio"),
        plot.heading(below, "Energy, kWh an hour"),
        energy_key(below),
        energies,
        plot.time_axis(below.x, below.bottom),
        hover(below.x, hours, above.top, below.bottom),
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


def _middle(hour: HourEnergy) -> datetime:
    return hour.start + (hour.end - hour.start) / 2
