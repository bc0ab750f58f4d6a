"""`python -m consumer devices`: devices that are silent and were never registered."""

import re
import sys
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from consumer.commands.confirmation import YesOption, confirm, need_an_answer
from consumer.commands.interruption import stopped_by_signal
from consumer.commands.options import time_ago
from consumer.commands.progress import progress
from consumer.commands.servers import with_database
from consumer.commands.terminal import out, table
from consumer.postgres.connection import Connection
from consumer.upkeep import devices
from consumer.upkeep.devices import Removed, Silent, SilentDevice
from runtime.terminal import fail
from telemetry.readings import DEVICE_ID
from telemetry.streams import STREAMS

app = typer.Typer(
    help="Devices that are silent, were never registered, and are in no assignment and no session.",
    no_args_is_help=True,
)

_LEAST_SILENCE = timedelta(hours=1)


class _Kind(StrEnum):
    METER = "meter"
    VEHICLE = "vehicle"


SilentFor = Annotated[
    str, typer.Option("--silent-for", help="no reading was stored for this long: 30d, 12h")
]
OfStream = Annotated[_Kind | None, typer.Option("--stream", help="only meters, or only vehicles")]
Prefix = Annotated[str, typer.Option(help="only devices whose id begins with this")]


@app.command("list")
def list_command(
    silent_for: SilentFor,
    stream: OfStream = None,
    prefix: Prefix = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="how many of each stream")] = 20,
) -> None:
    """Count the devices, and show the first by id."""
    chosen = _chosen(silent_for, stream, prefix)

    async def work(connection: Connection) -> list[tuple[int, list[SilentDevice]]]:
        return [
            (
                await devices.count_silent(connection, one),
                await devices.list_silent(connection, one, limit=limit),
            )
            for one in chosen
        ]

    shown = table("stream", "device", "newest reading", "stored")
    counts = []
    for one, (count, found) in zip(chosen, with_database(work), strict=True):
        counts.append(count)
        for device in found:
            times = (f"{device.recorded_at:%F %H:%M}", f"{device.updated_at:%F %H:%M}")
            shown.add_row(one.stream.name, device.device_id, *times)
    if any(counts):
        out.print(shown)
    out.print(_said(chosen, counts))


@app.command("remove")
def remove(
    silent_for: SilentFor,
    stream: OfStream = None,
    prefix: Prefix = "",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="count, and remove nothing")] = False,
    yes: YesOption = False,
) -> None:
    """Remove the devices for good, with current state, history and rollups.

    One that sends a reading meanwhile stays. One that comes back later begins anew.
    """
    chosen = _chosen(silent_for, stream, prefix)
    need_an_answer(yes=yes, dry_run=dry_run)

    async def look(connection: Connection) -> list[int]:
        return [await devices.count_silent(connection, one) for one in chosen]

    counts = with_database(look)
    out.print(_said(chosen, counts))
    total = sum(counts)
    if dry_run:
        out.print(f"would remove {total:,} at the most")
        return
    question = f"remove {total:,} devices and their history for good?"
    confirm(question, yes=yes, otherwise="nothing was removed")
    tally = Removed()

    async def work(connection: Connection) -> int:
        with stopped_by_signal() as stop, progress(total) as show_progress:

            def note(removed: Removed) -> None:
                nonlocal tally
                tally = Removed(*map(sum, zip(tally, removed, strict=True)))
                show_progress(tally.devices + tally.heard)

            for one in chosen:
                await devices.remove_silent(connection, one, stopping=stop.event, on_batch=note)
            return stop.code

    code = 1
    try:
        code = with_database(work)
    finally:
        out.print(f"removed {tally.devices:,} devices with {tally.readings:,} readings")
        if tally.heard:
            out.print(f"left {tally.heard:,} that sent late readings meanwhile")
    sys.exit(code)


def _chosen(silent_for: str, stream: _Kind | None, prefix: str) -> list[Silent]:
    heard_before = time_ago("--silent-for", silent_for, least=_LEAST_SILENCE)
    if prefix and not re.fullmatch(DEVICE_ID, prefix):
        fail(f"--prefix: {prefix!r} is not the beginning of a device's id", code=2)
    return [
        Silent(stream=one, heard_before=heard_before, prefix=prefix)
        for one in STREAMS
        if stream is None or one.name == stream
    ]


def _said(chosen: Sequence[Silent], counts: Sequence[int]) -> str:
    listed = (f"{count:,} {one.stream.name}s" for one, count in zip(chosen, counts, strict=True))
    return f"silent, never registered, in no assignment or session: {', '.join(listed)}"
