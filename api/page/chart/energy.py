"""The energy of hours: bars in a panel, their key, and the figures shown on hovering. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from markupsafe import Markup

from api.figures.energies import LEAST_KWH, HourEnergy
from api.page import words
from api.page.chart import plot
from api.page.chart.plot import Panel
from api.page.chart.scale import TimeScale, ticks
from api.page.chart.svg import tag

_BAR_SHARE, _INNER_SHARE = 0.78, 0.46


def energy_panel(
    window: tuple[datetime, datetime],
    hours: Sequence[HourEnergy],
    *,
    width: int,
    top: float,
    height: float,
) -> tuple[Panel, Markup]:
    """Return a panel that the hours' energies fit into, and its axis and bars."""
    most = max([0.0, *(max(hour.energy) for hour in hours)])
    marks = ticks(0, max(most, LEAST_KWH), 4)
    at = plot.panel(window, marks, width=width, top=top, height=height)
    return at, plot.value_axis(at, marks, "") + _bars(at, hours)


def energy_key(at: Panel) -> Markup:
    """Return the key of the two kinds of bars, at the right above them."""
    right, y = at.x.end, at.top - 14
    return Markup().join(
        [
            tag("rect", x=right - 174, y=y - 9, width=10, height=10, class_="ac"),
            tag("text", "AC drawn", x=right - 160, y=y, class_="tick start"),
            tag("rect", x=right - 92, y=y - 9, width=10, height=10, class_="dc"),
            tag("text", "DC delivered", x=right - 78, y=y, class_="tick start"),
        ]
    )


def hover(at: TimeScale, hours: Iterable[HourEnergy], top: float, bottom: float) -> Markup:
    """Return a column over each hour that shows its figures when it is pointed at."""
    return Markup().join(
        tag(
            "rect",
            tag("title", _figures(hour)),
            x=at(hour.start),
            y=top,
            width=max(at(hour.end) - at(hour.start), 0.5),
            height=bottom - top,
            class_="hover",
        )
        for hour in hours
    )


def _bars(at: Panel, hours: Iterable[HourEnergy]) -> Markup:
    """Return a bar of AC for each hour and one of DC before it; what is not judged is pale."""
    parts = []
    for hour in hours:
        for kind, kwh, judged, share in (
            ("ac", hour.energy.ac_kwh, hour.judged.ac_kwh, _BAR_SHARE),
            ("dc", hour.energy.dc_kwh, hour.judged.dc_kwh, _INNER_SHARE),
        ):
            if kwh > judged:
                parts.append(_bar(at, hour, kwh, share, f"{kind} rest"))
            if judged > 0:
                parts.append(_bar(at, hour, judged, share, kind))
    return Markup().join(parts)


def _bar(at: Panel, hour: HourEnergy, kwh: float, share: float, kind: str) -> Markup:
    left, right = at.x(hour.start), at.x(hour.end)
    wide, y = (right - left) * share, at.y(kwh)
    return tag(
        "rect",
        x=(left + right - wide) / 2,
        y=y,
        width=max(wide, 0.5),
        height=max(at.bottom - y, 0.5),
        rx=1,
        class_=kind,
    )


def _figures(hour: HourEnergy) -> str:
    return (
        f"{words.hours(hour.start, hour.end)}: AC {words.kwh(hour.energy.ac_kwh)}, DC"
        f" {words.kwh(hour.energy.dc_kwh)}, ratio {words.ratio(hour.ratio)}"
        + (f" of {words.kwh(hour.judged.ac_kwh)} AC" if hour.judged != hour.energy else "")
    )
