"""Numbers, times and states as people read them. Pure."""

from datetime import UTC, datetime, timedelta

from markupsafe import Markup, escape

DASH = "\N{EN DASH}"
NOTHING = DASH

STATUSES = {
    "optimal": "optimal",
    "degraded": "degraded",
    "critical": "critical",
    "implausible": "implausible",
    "insufficient_data": "insufficient data",
    "no_meter": "no meter",
}
REASONS = {
    "shared_meter": "a meter is shared: outside sessions its energy is no vehicle's",
    "implausible_jump": "a register jumped further than its power allows: that is not counted",
}


def count(value: float | None) -> str:
    """Return 12,345."""
    return NOTHING if value is None else f"{value:,.0f}"


def kwh(value: float | None) -> str:
    """Return 1,234.5 kWh; large energies without a place, small ones with three."""
    if value is None:
        return NOTHING
    places = 0 if abs(value) >= 10_000 else 1 if abs(value) >= 1 or value == 0 else 3  # noqa: PLR2004
    return f"{value:,.{places}f} kWh".replace("-", "\N{MINUS SIGN}")


def percent(share: float | None, places: int = 1) -> str:
    """Return 91.8 %, of a share of one."""
    return NOTHING if share is None else f"{100 * share:,.{places}f} %"


def cut_percent(share: float) -> str:
    """Return 99.9 % of all that is not whole: what is rounded up would hide a gap."""
    return f"{int(1_000 * share + 1e-9) / 10:.1f} %"


def rate(value: float) -> str:
    """Return 1,234 a second, small ones with one place."""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"  # noqa: PLR2004


def span(seconds: float | None) -> str:
    """Return 42 s, 7 min, 3 h or 12 days."""
    if seconds is None:
        return NOTHING
    seconds = max(seconds, 0.0)
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"


def clock(at: datetime) -> str:
    """Return 14:05, in UTC."""
    return at.astimezone(UTC).strftime("%H:%M")


def moment(at: datetime | None) -> str:
    """Return 2026-02-10 14:05:09 UTC."""
    return NOTHING if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def hours(start: datetime, end: datetime) -> str:
    """Return 14:00 to 15:00 UTC, with the dates where it is no single day."""
    first, last = start.astimezone(UTC), end.astimezone(UTC)
    if last.date() == first.date():
        return f"{clock(first)}{DASH}{clock(last)} UTC"
    if last - first <= timedelta(hours=24) and clock(last) == "00:00":
        return f"{clock(first)}{DASH}24:00 UTC"
    return f"{first:%Y-%m-%d %H:%M} {DASH} {last:%Y-%m-%d %H:%M} UTC"


def marked(text: str) -> Markup:
    """Return text with what stands between backquotes as code."""
    parts = [
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(text.split("`"))
    ]
    return Markup().join(parts)


FILTERS = {
    "count": count,
    "kwh": kwh,
    "percent": percent,
    "cut_percent": cut_percent,
    "rate": rate,
    "span": span,
    "clock": clock,
    "moment": moment,
    "marked": marked,
}
