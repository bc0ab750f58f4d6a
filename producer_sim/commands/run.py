"""`run`: a fleet's live load, and the world that it lives in."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from producer_sim.commands import options
from producer_sim.commands.load import Load, Plan
from producer_sim.commands.send import Job, LedgerDirectory, NoLedger, Quiet, Rate, send_job
from producer_sim.commands.terminal import LOST, WRONG_USE, fail, settings_of
from producer_sim.devices.chaos import SPLIT, Fault, Shares
from producer_sim.oracle.enrolment import Enrolment
from producer_sim.oracle.product import ProductError, TooSlowError
from producer_sim.oracle.verdict import TOO_SLOW
from producer_sim.sending.pace import Policy
from producer_sim.sending.transmit import system_clock
from producer_sim.settings import ProductSettings
from runtime.terminal import Terminal
from telemetry.timestamps import EARLIEST_US, format_timestamp


def _share(description: str) -> Any:
    return typer.Option(
        min=0.0, max=1.0, metavar="SHARE", rich_help_panel="Faults", help=description
    )


def run(
    *,
    devices: Annotated[int, typer.Option(min=1, help="Meters, and as many vehicles.")] = 10_000,
    interval: Annotated[
        float,
        typer.Option(min=0.1, max=86_400, help="Seconds between two readings of a device."),
    ] = 60.0,
    speed: Annotated[
        float | None,
        typer.Option(
            min=1e-3, max=1e9, help="Simulated seconds per second; 1, or unbound with --rate."
        ),
    ] = None,
    rate: Rate = None,
    seed: Annotated[int, typer.Option(min=0, help="Repeats a run with equal options.")] = 1,
    duration: Annotated[
        int | None,
        typer.Option(
            parser=options.duration, metavar="TIME", help="Simulated: 90s, 30m, 1h. None: go on."
        ),
    ] = None,
    start: Annotated[
        int | None,
        typer.Option(
            parser=options.instant,
            metavar="RFC3339",
            help="Simulated time to begin at, or -24h for so long ago. By default now, or, where"
            " the run may be faster than the clock, now less the duration (30 days without one).",
        ),
    ] = None,
    fleet: Annotated[
        str | None,
        typer.Option(
            parser=options.fleet_name,
            metavar="NAME",
            help="mtr-NAME-00042 for ids; {start} in it stands for the time to begin at.",
        ),
    ] = None,
    chaos: Annotated[
        float,
        _share(
            "Readings, 0 to 1, that get a fault, split over all faults: "
            + ", ".join(f"{fault.value} {getattr(SPLIT, fault):.0%}" for fault in Fault)
            + ". A fault's own option comes before its part of the split."
        ),
    ] = 0.0,
    duplicates: Annotated[float | None, _share("Readings sent twice.")] = None,
    late: Annotated[
        float | None, _share("Readings that newer ones of their device overtake.")
    ] = None,
    gaps: Annotated[float | None, _share("Readings not sent.")] = None,
    malformed: Annotated[
        float | None, _share("Readings replaced by something that is none.")
    ] = None,
    conflicts: Annotated[
        float | None, _share("Readings followed by other values for the same time.")
    ] = None,
    unusual: Annotated[float | None, _share("Readings in an unusual but valid form.")] = None,
    world: Annotated[
        bool,
        typer.Option(
            "--world",
            rich_help_panel="World",
            help="Some meters and vehicles are registers, of which some roll over, are reset or"
            " swapped; some vehicles share a charger in sessions, change their meter or have none;"
            " some chargers are degraded or critical. The ledger says the truth about all of it."
            " Needs a --duration.",
        ),
    ] = False,
    registers: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            rich_help_panel="World",
            help="Meters, 0 to 1, that are registers, with --world; of the vehicles half as many.",
        ),
    ] = 0.2,
    api: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            rich_help_panel="World",
            help="Tell this API of a world's devices and assignments before its readings are sent,"
            " and of its sessions afterwards; with API_KEY, where one is set.",
        ),
    ] = None,
    ledger: LedgerDirectory = None,
    no_ledger: NoLedger = False,
    quiet: Quiet = False,
) -> None:
    """Send live load: N meters and N vehicles, each with a life of its own.

    By default 10,000 of each every 60 s: 333 messages/s. `--speed 60` lets an hour pass in a
    minute, `--rate 20000` sends that many a second whatever the clock says, `--rate max` as many
    as go. No reading is sent before its own time. Ctrl-C or SIGTERM ends cleanly.

    The broker is KAFKA_BOOTSTRAP_SERVERS; missing topics are created.

    Exit codes: 0 done, 1 nothing was sent, a message failed or its fate is unknown, or the API
    could not be told, 2 wrong use, 3 the API was too busy to be told in time.
    """
    if api is not None and not world:
        fail("--api needs --world: other devices need not be registered", WRONG_USE)
    try:
        shares = Shares.of(
            chaos,
            duplicates=duplicates,
            late=late,
            gaps=gaps,
            malformed=malformed,
            conflicts=conflicts,
            unusual=unusual,
        )
    except ValueError as error:
        fail(str(error), WRONG_USE)
    now = system_clock()
    pace = Policy.of_run(speed=speed, rate=rate)
    begins = pace.default_start(now, duration) if start is None else start
    if begins > now:
        fail(f"--start {format_timestamp(begins)} lies in the future", WRONG_USE)
    if begins < EARLIEST_US:
        fail("the run would begin before 2000, of which no reading is taken", WRONG_USE)
    plan = Plan(
        devices=devices,
        interval_us=round(interval * 1_000) * 1_000,
        seed=seed,
        start_us=begins,
        duration_us=duration,
        fleet_name=fleet and options.fleet_begun(fleet, begins),
        shares=shares,
        registers=registers if world else None,
    )
    try:
        made = Load(plan)
    except ValueError as error:
        fail(f"--world: {error}", WRONG_USE)
    enrolment = None
    if api is not None and made.witness is not None:
        enrolment = Enrolment(
            made.witness,
            url=api,
            api_key=settings_of(ProductSettings).key,
            interval_us=plan.interval_us,
            console=None if quiet else Terminal(),
        )
        _tell(enrolment.before)
    job = Job(
        chunks=made.chunks(),
        policy=pace,
        start_us=begins,
        total=plan.expected_readings,
        metadata={"command": "run", **plan.described(), "speed": pace.speed, "rate": pace.rate},
        figures=lambda: {fault.value: count for fault, count in made.faults.items()},
        keep=made.witness.keep if made.witness else None,
    )
    tally = send_job(job, ledger, no_ledger=no_ledger, quiet=quiet)
    if enrolment is not None:
        _tell(enrolment.after, too_slow=TOO_SLOW if tally.complete else LOST)
    raise typer.Exit(0 if tally.complete else LOST)


def _tell(tell: Callable[[], None], *, too_slow: int = TOO_SLOW) -> None:
    try:
        tell()
    except TooSlowError as error:
        fail(str(error), too_slow)
    except ProductError as error:
        fail(str(error), LOST)
