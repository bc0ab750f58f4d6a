"""Parts of a chart: a panel with its axes, and the lines on it. Pure.

A chart is drawn twice, for wide and for narrow screens, so that its letters keep their size. The
style sheet shows one of the two.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup

from api.page import words
from api.page.chart.scale import Scale, TimeScale
from api.page.chart.svg import Point, area, path, tag

WIDE, NARROW = 960, 380
LEFT, RIGHT = 52, 10
_APART = 46  # the least distance from one label of the time to the next


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
    """Return a panel of `width` and `height` from `top` on, for values from first to last."""
    return Panel(
        TimeScale(*window, LEFT, place["width"] - RIGHT),
        Scale(values[0], values[-1], place["top"] + place["height"], place["top"]),
    )


def heading(at: Panel, text: str) -> Markup:
    """Return a title above the panel."""
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
    """Return the hours below a chart; a date stands below the first one and each midnight."""
    width = at.end - at.start
    per_hour = width / max((at.last - at.first) / timedelta(hours=1), 1)
    every = next((hours for hours in (1, 2, 3, 4, 6, 12) if hours * per_hour >= _APART), 24)
    parts = []
    ticks = at.ticks(timedelta(hours=every))
    for tick in ticks:
        x = at(tick)
        parts.append(tag("line", x1=x, x2=x, y1=y, y2=y + 4, class_="axis"))
        parts.append(tag("text", words.clock(tick), x=x, y=y + 17, class_="tick middle"))
        # A midnight at the right edge begins no day of the chart.
        if tick == ticks[0] or (words.clock(tick) == "00:00" and tick < at.last):
            day = tick.strftime("%d %b")
            parts.append(tag("text", day, x=x, y=y + 32, class_="tick middle"))
    parts.append(tag("line", x1=at.start, x2=at.end, y1=y, y2=y, class_="axis"))
    return Markup().join(parts)


def curve(at: Panel, broken: Sequence[Sequence[tuple[datetime, float]]], kind: str) -> Markup:
    """Return lines through points; they are not joined with each other."""
    return tag("path", d=path(_placed(at, broken)), class_=f"line {kind}")


def filled(at: Panel, broken: Sequence[Sequence[tuple[datetime, float]]], kind: str) -> Markup:
    """Return the lines with the areas below them."""
    below = tag("path", d=area(_placed(at, broken), at.bottom), class_=f"area {kind}")
    return below + curve(at, broken, kind)


def dots(at: Panel, points: Iterable[tuple[datetime, float]], kind: str) -> Markup:
    """Return a dot for each point."""
    return Markup().join(
        tag("circle", cx=at.x(when), cy=at.y(value), r=2.6, class_=f"dot {kind}")
        for when, value in points
    )


def limit(at: Panel, value: float, label: str) -> Markup:
    """Return a dashed line across, with a label at the left."""
    y = at.y(value)
    return tag("line", x1=LEFT, x2=at.x.end, y1=y, y2=y, class_="limit") + tag(
        "text", label, x=LEFT + 5, y=y + 13, class_="tick start halo"
    )


def pixel(start: datetime, end: datetime) -> timedelta:
    """Return the time that a pixel of the wide chart stands for."""
    return (end - start) / (WIDE - LEFT - RIGHT)


def drawing(
    parts: Sequence[Markup], *, name: str, width: int, height: float, title: str, description: str
) -> Markup:
    """Return the whole chart; `name` keeps its ids apart from other charts' on the page."""
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
