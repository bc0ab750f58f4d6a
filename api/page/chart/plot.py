"""Parts of a chart: a panel with its axes, and what is drawn on it. Pure.

A chart is drawn twice, for wide and for narrow screens, so that its letters keep their size; the
style sheet shows one of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from markupsafe import Markup

from api.figures.energies import Band, HourEnergy
from api.page import words
from api.page.chart.scale import Scale, TimeScale
from api.page.chart.svg import Point, area, path, tag

WIDE, NARROW = 960, 380
LEFT, RIGHT = 52, 10
_LETTER = 6.6  # a letter's width at the size of labels
_APART = 46  # from one label of the time to the next, at the least
_BAR_SHARE, _INNER_SHARE = 0.78, 0.46


@dataclass(frozen=True, slots=True)
class Panel:
    """A rectangle with a scale of time to the right and one of values upwards."""

    x: TimeScale
    y: Scale

    @property
    def top(self) -> float:
        return self.y.end

    @property
    def bottom(self) -> float:
        return self.y.start


def panel(window: tuple[datetime, datetime], values: Sequence[float], **place: float) -> Panel:
    """Return a panel over `width` from `top`, `height` high; values from the first to the last."""
    return Panel(
        TimeScale(*window, LEFT, place["width"] - RIGHT),
        Scale(values[0], values[-1], place["top"] + place["height"], place["top"]),
    )


def heading(at: Panel, text: str) -> Markup:
    return tag("text", text, x=0, y=at.top - 14, class_="heading")


def value_axis(at: Panel, ticks: Sequence[float], unit: str) -> Markup:
    """Return a line across and a label for each tick."""
    parts = []
    for tick in ticks:
        y = at.y(tick)
        parts.append(tag("line", x1=LEFT, x2=at.x.end, y1=y, y2=y, class_="grid"))
        label = f"{tick:,g}{unit}"
        parts.append(tag("text", label, x=LEFT - 7, y=y + 4, class_="tick end"))
    return Markup().join(parts)


def time_axis(at: TimeScale, y: float) -> Markup:
    """Return the hours below a chart; a midnight has its date."""
    width = at.end - at.start
    per_hour = width / max((at.last - at.first) / timedelta(hours=1), 1)
    every = next((hours for hours in (1, 2, 3, 4, 6, 12) if hours * per_hour >= _APART), 24)
    parts = []
    ticks = at.ticks(timedelta(hours=every))
    for tick in ticks:
        x = at(tick)
        parts.append(tag("line", x1=x, x2=x, y1=y, y2=y + 4, class_="axis"))
        parts.append(tag("text", words.clock(tick), x=x, y=y + 17, class_="tick middle"))
        # At the right edge no day begins.
        if tick == ticks[0] or (words.clock(tick) == "00:00" and tick < at.last):
            day = tick.strftime("%d %b")
            parts.append(tag("text", day, x=x, y=y + 32, class_="tick middle"))
    parts.append(tag("line", x1=at.start, x2=at.end, y1=y, y2=y, class_="axis"))
    return Markup().join(parts)


def bars(at: Panel, hours: Iterable[HourEnergy]) -> Markup:
    """Return a bar of AC for each hour with one of DC before it, pale where it is not judged."""
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


def curve(at: Panel, broken: Sequence[Sequence[tuple[datetime, float]]], kind: str) -> Markup:
    return tag("path", d=path(_placed(at, broken)), class_=f"line {kind}")


def filled(at: Panel, broken: Sequence[Sequence[tuple[datetime, float]]], kind: str) -> Markup:
    """Return a line with the area below it."""
    below = tag("path", d=area(_placed(at, broken), at.bottom), class_=f"area {kind}")
    return below + curve(at, broken, kind)


def dots(at: Panel, points: Iterable[tuple[datetime, float]], kind: str) -> Markup:
    return Markup().join(
        tag("circle", cx=at.x(when), cy=at.y(value), r=2.6, class_=f"dot {kind}")
        for when, value in points
    )


def limit(at: Panel, value: float, label: str) -> Markup:
    """Return a dashed line across with its name at the left."""
    y = at.y(value)
    return tag("line", x1=LEFT, x2=at.x.end, y1=y, y2=y, class_="limit") + tag(
        "text", label, x=LEFT + 5, y=y + 13, class_="tick start halo"
    )


def pixel(start: datetime, end: datetime) -> timedelta:
    """Return the time that a pixel of the wider chart stands for."""
    return (end - start) / (WIDE - LEFT - RIGHT)


def strip(at: TimeScale, bands: Iterable[Band], *, top: float, height: float, kind: str) -> Markup:
    """Return bands on a track; a label is written where it fits, a title is on each.

    There is no more than about one a pixel, however many are given.
    """
    width = at.end - at.start
    parts = [tag("rect", x=at.start, y=top, width=width, height=height, class_="track")]
    for band in _seen(at, bands):
        left, right = at(band.start), at(band.end)
        said = f"{band.title}, {words.hours(band.start, band.end)}"
        parts.append(
            tag(
                "rect",
                tag("title", said),
                x=left,
                y=top,
                width=max(right - left, 1.0),
                height=height,
                class_=f"band {kind}",
            )
        )
        if band.label and right - left > _LETTER * len(band.label) + 8:
            x, y = left + 6, top + height / 2 + 4
            parts.append(tag("text", band.label, x=x, y=y, class_="tick start inside"))
    return Markup().join(parts)


def _seen(at: TimeScale, bands: Iterable[Band]) -> list[Band]:
    """Return the bands, and one for those that are narrower than a pixel and lie side by side."""
    seen: list[Band] = []
    title, others = "", 0
    for band in bands:
        left, right = at(band.start), at(band.end)
        if not seen or right - left >= 1 or left - at(seen[-1].end) >= 1:
            seen.append(band)
            title, others = band.title, 0
            continue
        first = seen[-1]
        others += band.title != title
        said = f"{title} and {others} more" if others else title
        seen[-1] = replace(first, end=max(first.end, band.end), title=said)
    return seen


def hover(
    at: TimeScale, hours: Iterable[tuple[HourEnergy, str]], top: float, bottom: float
) -> Markup:
    """Return a column over each hour that says its figures when it is pointed at."""
    return Markup().join(
        tag(
            "rect",
            tag("title", said),
            x=at(hour.start),
            y=top,
            width=max(at(hour.end) - at(hour.start), 0.5),
            height=bottom - top,
            class_="hover",
        )
        for hour, said in hours
    )


def drawing(
    parts: Sequence[Markup], *, name: str, width: int, height: float, title: str, description: str
) -> Markup:
    """Return the whole; `name` keeps its ids apart from those of others on the page."""
    size = "wide" if width == WIDE else "narrow"
    key = f"{name}-{size}"
    return tag(
        "svg",
        tag("title", title, id=f"{key}-title"),
        tag("desc", description, id=f"{key}-description"),
        *parts,
        viewBox=f"0 0 {width} {height:g}",
        class_=f"chart {size}",
        role="img",
        aria_labelledby=f"{key}-title",
        aria_describedby=f"{key}-description",
    )


def _placed(at: Panel, broken: Sequence[Sequence[tuple[datetime, float]]]) -> list[list[Point]]:
    return [[(at.x(when), at.y(value)) for when, value in line] for line in broken]
