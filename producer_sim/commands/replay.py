"""`replay`: send recorded readings from a file."""

from pathlib import Path
from typing import Annotated

import typer

from producer_sim.commands import options
from producer_sim.commands.options import LedgerDirectory, NoLedger, Quiet, Rate
from producer_sim.commands.send import Job, send_job
from producer_sim.commands.terminal import LOST, WRONG_USE, say
from producer_sim.runs.recording import Fault, Recording, ReplayError
from producer_sim.sending.pace import Policy
from producer_sim.sending.transmit import system_clock
from runtime.terminal import fail

_MOST_FAULTS_SHOWN = 20


def replay(
    *,
    file: Annotated[Path, typer.Argument(help="UCI household power, or JSON lines.")],
    meter_id: Annotated[
        str, typer.Option(parser=options.device_id, metavar="ID", help="The meter of UCI data.")
    ] = "uci-household",
    shift_to_now: Annotated[
        bool,
        typer.Option(
            "--shift-to-now",
            help="Shift all readings by the same time, so that the last one is now.",
        ),
    ] = False,
    rate: Rate = None,
    ledger: LedgerDirectory = None,
    no_ledger: NoLedger = False,
    quiet: Quiet = False,
) -> None:
    """Send recorded readings, as fast as possible or at `--rate`.

    FILE is either the household power data of UCI (semicolons or commas, kW per minute) or one
    reading a line in the contract's JSON, which is sent byte for byte unless it is shifted. Bad
    lines are reported and skipped; readings marked as missing (?) are counted.

    Exit codes: 0 done, 1 a line was bad, a message was lost or nothing was sent, 2 wrong use.
    """
    try:
        recording = Recording(path=file, meter_id=meter_id)
    except ReplayError as error:
        fail(str(error), code=WRONG_USE)
    latest = recording.latest() if shift_to_now else None
    shift_us = 0 if latest is None else (system_clock() - latest) // 1_000 * 1_000
    policy = Policy.free(rate=rate)
    metadata = {"command": "replay", "file": file.name, "shift_us": shift_us, "rate": policy.rate}
    job = Job(
        chunks=recording.chunks(shift_us=shift_us),
        policy=policy,
        start_us=0,
        total=None,
        metadata=metadata,
        figures=lambda: {"gaps": recording.gaps, "bad_lines": len(recording.faults)},
    )
    tally = send_job(job, ledger, no_ledger=no_ledger, quiet=quiet)
    _say_faults(file, recording.faults)
    raise typer.Exit(0 if tally.complete and not recording.faults else LOST)


def _say_faults(file: Path, faults: list[Fault]) -> None:
    for fault in faults[:_MOST_FAULTS_SHOWN]:
        say(f"{file}:{fault.number}: {fault.problem}")
    if len(faults) > _MOST_FAULTS_SHOWN:
        say(f"{file}: {len(faults) - _MOST_FAULTS_SHOWN} more bad lines")
