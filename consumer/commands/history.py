"""`python -m consumer history`: readings that are stored and should not be."""

import re
import sys
from typing import Annotated

import typer

from consumer.commands.confirmation import YesOption, confirm, need_an_answer
from consumer.commands.interruption import stopped_by_signal
from consumer.commands.options import given_time
from consumer.commands.progress import progress
from consumer.commands.servers import with_database
from consumer.commands.terminal import out, table
from consumer.postgres.connection import Connection
from consumer.upkeep import deletion
from consumer.upkeep.deletion import DayReadings, Window
from runtime.terminal import errors, fail
from telemetry.readings import DEVICE_ID
from telemetry.streams import METER, VEHICLE

app = typer.Typer(help="Stored readings.", no_args_is_help=True)


@app.command("delete")
def delete(
    *,
    meter: Annotated[str | None, typer.Option(metavar="ID", help="a meter's readings")] = None,
    vehicle: Annotated[str | None, typer.Option(metavar="ID", help="a vehicle's readings")] = None,
    start: Annotated[
        str, typer.Option(metavar="TIME", help="later than this (RFC 3339); this itself stays")
    ],
    end: Annotated[str, typer.Option(metavar="TIME", help="up to this, this itself included")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="count, and delete nothing")] = False,
    yes: YesOption = False,
) -> None:
    """Delete wrong readings of one device for good, by the device's own times.

    Energy answers follow at once. If the newest reading goes, current state becomes the newest
    one that is left; a device of which nothing is left has none.

    Replicas may run. Each UTC day is a transaction of its own, so the command may be interrupted
    and repeated. Readings that are sent again are stored again; dead letters stay. Whole days of
    all devices go by the retention instead.

    Exit code 0 also if there was nothing to delete; 1 if the device is not known.
    """
    window = _window(meter, vehicle, start, end)
    need_an_answer(yes=yes, dry_run=dry_run)

    async def look(connection: Connection) -> tuple[bool, list[DayReadings]]:
        days = await deletion.count_readings(connection, window)
        return bool(days) or await deletion.is_known(connection, window), days

    is_known, days = with_database(look)
    device = f"{window.stream.name} {window.device}"
    if not is_known:
        fail(f"{device}: is not registered, and no reading of it is stored", code=1)
    total = sum(day.readings for day in days)
    if days:
        _print_found(device, days)
    else:
        errors.print(f"no readings of {device} in this time")
    if dry_run:
        out.print(f"would delete {total:,}")
        return
    question = f"delete {total:,} readings of {device} for good?"
    confirm(question, yes=yes or not total, otherwise="nothing was deleted")
    deleted = 0

    async def work(connection: Connection) -> int:
        with stopped_by_signal() as stop, progress(total) as show_progress:

            def note(readings: int) -> None:
                nonlocal deleted
                deleted += readings
                show_progress(deleted)

            await deletion.delete_readings(
                connection,
                window,
                [day.day for day in days],
                stopping=stop.event,
                on_day=note,
            )
            return stop.code

    code = 1
    try:
        code = with_database(work)
    finally:
        out.print(f"deleted {deleted:,}")
    sys.exit(code)


def _window(meter: str | None, vehicle: str | None, start: str, end: str) -> Window:
    """Return what the options choose; a wrong one ends the command with exit code 2."""
    named = [
        (stream, device)
        for stream, device in ((METER, meter), (VEHICLE, vehicle))
        if device is not None
    ]
    if len(named) != 1:
        fail("--meter, --vehicle: exactly one is needed", code=2)
    [(stream, device)] = named
    if not re.fullmatch(DEVICE_ID, device):
        fail(f"--{stream.name}: {device!r} is not a device's id", code=2)
    after, until = given_time("--start", start), given_time("--end", end)
    if after >= until:
        fail("--start: is not before --end", code=2)
    return Window(stream=stream, device=device, start=after, end=until)


def _print_found(device: str, days: list[DayReadings]) -> None:
    shown = table("device", "readings", "UTC days", "first", "last", "lowest kWh", "highest kWh")
    shown.add_row(
        device,
        f"{sum(day.readings for day in days):,}",
        f"{len(days):,}",
        f"{days[0].first:%F %T}",
        f"{days[-1].last:%F %T}",
        f"{min(day.lowest for day in days):,.3f}",
        f"{max(day.highest for day in days):,.3f}",
    )
    out.print(shown)
