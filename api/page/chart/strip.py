"""Spans of time as bands on a track. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from markupsafe import Markup

from api.page import words
from api.page.chart.scale import TimeScale
from api.page.chart.svg import tag

_LETTER = 6.6  # a letter's width at the size of labels


@dataclass(frozen=True, slots=True)
class Band:
    """A span of time and what it stands for: in a word, if that fits, and in full."""

    start: datetime
    end: datetime
    label: str
    title: str


def strip(at: TimeScale, bands: Iterable[Band], *, top: float, height: float, kind: str) -> Markup:
    """Return bands on a track, each with a title, and with its label if that fits.

    At most about one band a pixel is drawn, however many are given.
    """
    width = at.end - at.start
    parts = [tag("rect", x=at.start, y=top, width=width, height=height, class_="track")]
    for band in _visible(at, bands):
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


def _visible(at: TimeScale, bands: Iterable[Band]) -> list[Band]:
    """Return the bands; those narrower than a pixel that lie side by side are joined to one."""
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
