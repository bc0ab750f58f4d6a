"""The parsers of the options, and the options that `run` and `replay` share.

A parser raises BadParameter for a value that cannot be used: exit code 2.
"""

import math
import re
from pathlib import Path
from typing import Annotated

import typer

from producer_sim.sending.transmit import system_clock
from telemetry.readings import DEVICE_ID
from telemetry.timestamps import SECOND_US, as_datetime, parse_timestamp

_UNITS_US = {"d": 86_400 * SECOND_US, "h": 3_600 * SECOND_US, "m": 60 * SECOND_US, "s": SECOND_US}
_LONGEST_US = 36_500 * _UNITS_US["d"]
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[dhms])+")
_FLEET = re.compile(r"[A-Za-z0-9._:-]{1,40}")
_DEVICE_ID = re.compile(DEVICE_ID)

UNBOUNDED = math.inf


def duration(text: str) -> int:
    """Return microseconds: `90s`, `30m`, `1h30m`, `2d`; at most 100 years."""
    if _DURATION.fullmatch(text) is None:
        raise typer.BadParameter(f"{_cut(text)} is not a duration; write 90s, 30m, 1h30m or 2d")
    pieces = re.findall(r"(\d+(?:\.\d+)?)([dhms])", text)
    total = sum(float(number) * _UNITS_US[unit] for number, unit in pieces)
    if total > _LONGEST_US:  # a float may be infinite
        raise typer.BadParameter(f"{_cut(text)} is longer than 36500d")
    if not round(total):
        raise typer.BadParameter("a duration must be longer than zero")
    return round(total)


def rate(text: str) -> float:
    """Return messages per second; `max` and `0` stand for no limit."""
    if text == "max":
        return UNBOUNDED
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise typer.BadParameter(f"{text!r} is not a rate; write messages per second, 0 or max")
    return value or UNBOUNDED


def instant(text: str) -> int:
    """Return microseconds since 1970, from an RFC 3339 timestamp or a time before now: `-24h`."""
    if text.startswith("-"):
        return (system_clock() - duration(text[1:])) // SECOND_US * SECOND_US
    try:
        at = parse_timestamp(text)
        as_datetime(at)  # raises for a time that cannot be printed or sent
    except OverflowError as error:
        raise typer.BadParameter(f"{text!r} is past the year 9999") from error
    except ValueError as error:
        raise typer.BadParameter(
            f"{_cut(text)}: {error}; write 2026-02-10T10:00:00Z or -24h"
        ) from error
    return at


def fleet_name(text: str) -> str:
    """Return the name if `fleet_begun` makes a part of a valid device id of it."""
    if _FLEET.fullmatch(fleet_begun(text, 0)) is None:
        raise typer.BadParameter("a fleet's name has 1 to 40 of A-Z a-z 0-9 . _ : - or {start}")
    return text


def fleet_begun(name: str, start_us: int) -> str:
    """Return the name with the run's first second, in UTC, in place of `{start}`."""
    return name.replace("{start}", f"{as_datetime(start_us):%Y%m%dT%H%M%SZ}")


def device_id(text: str) -> str:
    """Return the id if the contract accepts it."""
    if _DEVICE_ID.fullmatch(text) is None:
        raise typer.BadParameter("an id has 1 to 64 of A-Z a-z 0-9 . _ : -")
    return text


def _cut(text: str) -> str:
    """Return the beginning of the text, quoted, for an error message."""
    return repr(text[:40])


Rate = Annotated[
    float | None,
    typer.Option(
        parser=rate,
        metavar="N|max",
        help="At most this many messages per second; max or 0: no limit.",
    ),
]
LedgerDirectory = Annotated[
    Path | None,
    typer.Option("--ledger", help="A new directory for the ledger; by default ledger/<time>."),
]
NoLedger = Annotated[
    bool, typer.Option("--no-ledger", help="Keep no ledger; verify cannot check this run.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print only what went wrong.")]
