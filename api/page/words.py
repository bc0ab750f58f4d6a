"""Numbers, times and statuses as people read them. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from markupsafe import Markup, escape

from api.figures.energies import DEGRADED, LEAST_COVERAGE, LEAST_KWH, OPTIMAL
from api.models.energy import STATUSES, Performance, Status

DASH = "\N{EN DASH}"
NOTHING = DASH

NAMES = {status: status.replace("_", " ") for status in STATUSES}
MEANINGS: dict[Status, str] = {
    "optimal": "at least 85 % of what was drawn was delivered",
    "degraded": "at least 75 %, but less than 85 %",
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
    "shared_meter": "a meter is shared: outside sessions its energy counts for no vehicle",
    "implausible_jump": "a register jumped further than its power allows: the jump is not counted",
}


def count(value: float | None) -> str:
    """Return a number such as 12,345."""
    return NOTHING if value is None else f"{value:,.0f}"


def kwh(value: float | None) -> str:
    """Return an energy such as 1,234.5 kWh; large ones without decimals, small ones with three."""
    if value is None:
        return NOTHING
    places = 0 if abs(value) >= 10_000 else 1 if abs(value) >= 1 or value == 0 else 3  # noqa: PLR2004  as above
    return f"{value:,.{places}f} kWh".replace("-", "\N{MINUS SIGN}")


def percent(share: float | None, places: int = 1) -> str:
    """Return a share of one in per cent, such as 91.8 %."""
    return NOTHING if share is None else f"{100 * share:,.{places}f} %"


def ratio(share: float | None) -> str:
    """Return a ratio in per cent, with the decimals that keep it on its side of a band's limit."""
    if share is None:
        return NOTHING
    per_cent = 100 * share
    shown = next((at for at in range(1, 7) if _side(round(per_cent, at)) == _side(per_cent)), 6)
    return percent(share, shown)


def _side(per_cent: float) -> tuple[bool, ...]:
    return per_cent >= 100 * DEGRADED, per_cent >= 100 * OPTIMAL, per_cent > 100  # noqa: PLR2004  per cent


def cut_percent(share: float) -> str:
    """Return a share of one in per cent, rounded down: rounding up to 100.0 % would hide a gap."""
    return f"{int(1_000 * share + 1e-9) / 10:.1f} %"


def charge(per_cent: float | None) -> str:
    """Return a state of charge such as 57.3 %."""
    return NOTHING if per_cent is None else f"{per_cent:.1f} %"


def degrees(celsius: float | None) -> str:
    """Return a temperature such as 31.4 °C."""
    return NOTHING if celsius is None else f"{celsius:.1f} °C".replace("-", "\N{MINUS SIGN}")


def rate(value: float) -> str:
    """Return a rate such as 1,234; small ones with one decimal."""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"  # noqa: PLR2004  what is small


def span(seconds: float | None) -> str:
    """Return a duration such as 42 s, 7 min, 3 h or 12 days."""
    if seconds is None:
        return NOTHING
    seconds = max(seconds, 0.0)
    if seconds < 10:  # noqa: PLR2004  what is short
        return f"{seconds:.1f} s"
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"


def clock(at: datetime) -> str:
    """Return a time of day in UTC such as 14:05."""
    return at.astimezone(UTC).strftime("%H:%M")


def moment(at: datetime | None) -> str:
    """Return a time such as 2026-02-10 14:05:09 UTC."""
    return NOTHING if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def hours(start: datetime, end: datetime) -> str:
    """Return a span such as 14:00 to 15:00 UTC, with dates if it is not within one day."""
    first, last = start.astimezone(UTC), end.astimezone(UTC)
    if last.date() == first.date():
        return f"{clock(first)}{DASH}{clock(last)} UTC"
    if last - first <= timedelta(hours=24) and clock(last) == "00:00":
        return f"{clock(first)}{DASH}24:00 UTC"
    return f"{first:%Y-%m-%d %H:%M} {DASH} {last:%Y-%m-%d %H:%M} UTC"


def lacking(one: Performance) -> list[str]:
    """Return what a vehicle with `insufficient_data` lacks to be judged, with figures."""
    if one.efficiency.status != "insufficient_data":
        return []
    said = []
    if one.quality.vehicle_coverage < LEAST_COVERAGE:
        share = cut_percent(one.quality.vehicle_coverage)
        said.append(f"its readings cover {share} of these hours; at least half is needed")
    if not one.meters:
        said.append("it has no meter of its own")
    elif one.quality.meter_coverage < LEAST_COVERAGE:
        share = cut_percent(one.quality.meter_coverage)
        said.append(
            f"its meters' readings cover {share} of the time for which they charged it; at least"
            " half is needed"
        )
    drawn = one.energy.ac_kwh
    if one.meters and drawn is not None and drawn < LEAST_KWH:
        said.append(f"its meters drew {kwh(drawn)}; {LEAST_KWH} kWh is needed")
    return said


def unjudged(vehicles: Mapping[str, int]) -> str:
    """Return how many vehicles cannot be judged, by what they lack."""
    return "; ".join(
        f"{count(vehicles[key])} {why}" for key, why in _LACKING.items() if vehicles[key]
    )


def delay(seconds: float | None) -> str:
    """Return how long after they were taken, by their devices' clocks, readings are stored."""
    if seconds is None:
        return "no newer one was stored in the last 5 min"
    if seconds < 0:
        return f"clocks are ahead: stored {span(-seconds)} before its own time (median)"
    return f"lag: stored {span(seconds)} after it was taken (median)"


def breakable(text: str) -> Markup:
    """Return text that may break into lines after each `_`, `-` and `.`."""
    return Markup(re.sub("([_.-])", r"\1<wbr>", str(escape(text))))  # noqa: S704  it is escaped


def marked(text: str) -> Markup:
    """Return text in which the parts between backquotes are code."""
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
