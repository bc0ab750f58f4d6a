"""Numbers, times and states as people read them. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from markupsafe import Markup, escape

from api.figures.energies import DEGRADED, LEAST_COVERAGE, LEAST_KWH, OPTIMAL
from api.models import Performance

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
MEANINGS = {
    "optimal": "85 % of what was drawn, or more, was delivered",
    "degraded": "at least 75 %, but not 85 %",
    "critical": "less than 75 %",
    "implausible": "more was delivered than drawn: not in the ratio",
    "insufficient_data": "not judged, and not in the ratio",
    "no_meter": "no meter was assigned, and no session ran: not in the ratio",
}
_LACKING = {
    "silent": "have readings for less than half of these hours",
    "meter_silent": "have a meter with readings for less than half of its time, or share it",
    "little": "drew less than 0.1 kWh",
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


def ratio(share: float | None) -> str:
    """Return 91.8 %, with as many places as it takes to lie on its side of a band's limit."""
    if share is None:
        return NOTHING
    per_cent = 100 * share
    shown = next((at for at in range(1, 7) if _side(round(per_cent, at)) == _side(per_cent)), 6)
    return percent(share, shown)


def _side(per_cent: float) -> tuple[bool, ...]:
    return per_cent >= 100 * DEGRADED, per_cent >= 100 * OPTIMAL, per_cent > 100  # noqa: PLR2004


def cut_percent(share: float) -> str:
    """Return 99.9 % of all that is not whole: what is rounded up would hide a gap."""
    return f"{int(1_000 * share + 1e-9) / 10:.1f} %"


def charge(per_cent: float | None) -> str:
    """Return 57.3 %, of a state of charge."""
    return NOTHING if per_cent is None else f"{per_cent:.1f} %"


def degrees(celsius: float | None) -> str:
    """Return 31.4 °C."""
    return NOTHING if celsius is None else f"{celsius:.1f} °C".replace("-", "\N{MINUS SIGN}")


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


def lacking(one: Performance) -> list[str]:
    """Return what a vehicle with `insufficient_data` lacks, each with its figure."""
    if one.efficiency.status != "insufficient_data":
        return []
    said = []
    if one.quality.vehicle_coverage < LEAST_COVERAGE:
        share = cut_percent(one.quality.vehicle_coverage)
        said.append(f"its readings cover {share} of these hours; half of them is needed")
    if not one.meters:
        said.append("no meter's energy was its alone")
    elif one.quality.meter_coverage < LEAST_COVERAGE:
        share = cut_percent(one.quality.meter_coverage)
        said.append(
            f"its meters' readings cover {share} of the time for which they charged it; half of it"
            " is needed"
        )
    if one.meters and one.energy.ac_kwh < LEAST_KWH:
        said.append(f"its meters drew {kwh(one.energy.ac_kwh)}; {LEAST_KWH} kWh is needed")
    return said


def unjudged(vehicles: Mapping[str, int]) -> str:
    """Return how many vehicles lack what for a judgement."""
    return "; ".join(
        f"{count(vehicles[key])} {why}" for key, why in _LACKING.items() if vehicles[key]
    )


def delay(seconds: float | None) -> str:
    """Return when readings are stored, seen from when they were taken by their device's clock."""
    if seconds is None:
        return "no newer one was stored in the last 5 min"
    if seconds < 0:
        return f"clocks are ahead: stored {span(-seconds)} before its own time (median)"
    return f"lag: stored {span(seconds)} after it was taken (median)"


def breakable(text: str) -> Markup:
    """Return text that may go on in another line after each `_`, `-` and `.`."""
    return Markup(re.sub("([_.-])", r"\1<wbr>", str(escape(text))))  # noqa: S704  it is escaped


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
    "ratio": ratio,
    "cut_percent": cut_percent,
    "charge": charge,
    "degrees": degrees,
    "rate": rate,
    "span": span,
    "clock": clock,
    "moment": moment,
    "unjudged": unjudged,
    "delay": delay,
    "breakable": breakable,
    "marked": marked,
}
