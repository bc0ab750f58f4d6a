"""`run`: the live load of a simulated fleet."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from producer_sim.commands import options
from producer_sim.commands.options import LedgerDirectory, NoLedger, Quiet, Rate
from producer_sim.commands.send import Job, send_job
from producer_sim.commands.terminal import LOST, WRONG_USE, settings_of
from producer_sim.devices.chaos import SPLIT, Fault, Shares
from producer_sim.oracle.verdict import TOO_SLOW
from producer_sim.oracle.witness import Witness
from producer_sim.product import ProductError, TooSlowError
from producer_sim.runs.enrolment import Enrolment
from producer_sim.runs.load import Load
from producer_sim.runs.plan import Plan
from producer_sim.sending.pace import Policy
from producer_sim.sending.transmit import system_clock
from producer_sim.settings import ProductSettings
from runtime.terminal import Terminal, fail
from telemetry.timestamps import EARLIEST_US, format_timestamp


def _share(description: str) -> Any:
    return typer.Option(
        min=0.0, max=1.0, metavar="SHARE", rich_help_panel="Faults", help=description
    )


Devices = Annotated[int, typer.Option(min=1, help="Number of meters, and of vehicles.")]
Interval = Annotated[
    float, typer.Option(min=0.1, max=86_400, help="Seconds between two readings of a device.")
]
Speed = Annotated[
    float | None,
    typer.Option(
        min=1e-3,
        max=1e9,
        help="Simulated seconds per second. By default 1; with --rate, no limit.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed and options repeat a run.")]
Duration = Annotated[
    int | None,
    typer.Option(
        parser=options.duration,
        metavar="TIME",
        help="Simulated time to run for: 90s, 30m, 1h. By default the run has no end.",
    ),
]
Start = Annotated[
    int | None,
    typer.Option(
        parser=options.instant,
        metavar="RFC3339",
        help="Simulated time to begin at, or -24h for 24 hours before now. By default now; if the"
        " run may be faster than the clock, one duration ago (30 days without one).",
    ),
]
FleetName = Annotated[
    str | None,
    typer.Option(
        "--fleet",
        parser=options.fleet_name,
        metavar="NAME",
        help="Makes ids such as mtr-NAME-00042; {start} in NAME stands for the time of the start.",
    ),
]
ChaosShare = Annotated[
    float,
    _share(
        "Readings, 0 to 1, that get a fault, split over all faults: "
        + ", ".join(f"{fault.value} {getattr(SPLIT, fault):.0%}" for fault in Fault)
        + ". A fault's own option replaces its part of the split."
    ),
]
Duplicates = Annotated[float | None, _share("Readings sent twice.")]
Late = Annotated[float | None, _share("Readings sent after newer ones of the same device.")]
Gaps = Annotated[float | None, _share("Readings not sent.")]
Malformed = Annotated[float | None, _share("Readings replaced by a value that is not a reading.")]
Conflicts = Annotated[
    float | None, _share("Readings followed by other values for the same device and time.")
]
Unusual = Annotated[float | None, _share("Readings in an unusual but valid form.")]
InWorld = Annotated[
    bool,
    typer.Option(
        "--world",
        rich_help_panel="World",
        help="Some meters and vehicles are registers, of which some roll over, are reset or"
        " replaced; some vehicles share a charger in sessions, change their meter or have none;"
        " some chargers are degraded or critical. The truth about all of it is kept beside the"
        " ledger. Needs a --duration.",
    ),
]
Registers = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="SHARE",
        rich_help_panel="World",
        help="Meters, 0 to 1, that are registers, with --world; half that share of the vehicles.",
    ),
]
Quirks = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="SHARE",
        rich_help_panel="World",
        help="Pairs, 0 to 1, of which the meter or the vehicle behaves as real ones do, with"
        " --world: counters with steps, dips, spikes or resets, quarter-hour meters, silence and"
        " more. Needs an --interval that divides 15 minutes.",
    ),
]
ApiUrl = Annotated[
    str | None,
    typer.Option(
        "--api",
        metavar="URL",
        rich_help_panel="World",
        help="Register a world's devices and assignments with this API before the readings are"
        " sent, and its sessions afterwards. Uses API_KEY if it is set.",
    ),
]


def run(
    *,
    devices: Devices = 10_000,
    interval: Interval = 60.0,
    speed: Speed = None,
    rate: Rate = None,
    seed: Seed = 1,
    duration: Duration = None,
    start: Start = None,
    fleet: FleetName = None,
    chaos: ChaosShare = 0.0,
    duplicates: Duplicates = None,
    late: Late = None,
    gaps: Gaps = None,
    malformed: Malformed = None,
    conflicts: Conflicts = None,
    unusual: Unusual = None,
    world: InWorld = False,
    registers: Registers = 0.2,
    quirks: Quirks = 0.0,
    api: ApiUrl = None,
    ledger: LedgerDirectory = None,
    no_ledger: NoLedger = False,
    quiet: Quiet = False,
) -> None:
    """Send the live load of N meters and N vehicles.

    By default 10,000 of each every 60 s: 333 messages/s. With `--speed 60` an hour passes in a
    minute, `--rate 20000` sends 20,000 messages a second whatever the clock says, `--rate max` as
    many as possible. No reading is sent before its own time. Ctrl-C or SIGTERM ends cleanly.

    The broker is KAFKA_BOOTSTRAP_SERVERS; missing topics are created.

    Exit codes: 0 done, 1 nothing was sent, a message failed or its fate is unknown, or the API
    failed, 2 wrong use, 3 the API was too busy to answer in time.
    """
    if api is not None and not world:
        fail("--api needs --world: other devices need not be registered", code=WRONG_USE)
    if quirks and not world:
        fail("--quirks needs --world: the truth about the pairs is kept with it", code=WRONG_USE)
    shares = _shares(
        chaos,
        duplicates=duplicates,
        late=late,
        gaps=gaps,
        malformed=malformed,
        conflicts=conflicts,
        unusual=unusual,
    )
    policy = Policy.of_run(speed=speed, rate=rate)
    start_us = _start(start, policy, duration)
    plan = Plan(
        devices=devices,
        interval_us=round(interval * 1_000) * 1_000,
        seed=seed,
        start_us=start_us,
        duration_us=duration,
        fleet_name=fleet and options.fleet_begun(fleet, start_us),
        shares=shares,
        registers=registers if world else None,
        quirks=quirks,
    )
    load = _load(plan)
    enrolment = None
    if api is not None and load.witness is not None:
        enrolment = _enrolment(load.witness, plan, api, quiet=quiet)
        _tell(enrolment.before)
    tally = send_job(_job(plan, load, policy), ledger, no_ledger=no_ledger, quiet=quiet)
    if enrolment is not None:
        _tell(enrolment.after, too_slow=TOO_SLOW if tally.complete else LOST)
    raise typer.Exit(0 if tally.complete else LOST)


def _shares(chaos: float, **single: float | None) -> Shares:
    try:
        return Shares.of(chaos, **single)
    except ValueError as error:
        fail(str(error), code=WRONG_USE)


def _start(start: int | None, policy: Policy, duration: int | None) -> int:
    """Return when the run begins, in microseconds since 1970."""
    now = system_clock()
    start_us = policy.default_start(now, duration) if start is None else start
    if start_us > now:
        fail(f"--start {format_timestamp(start_us)} lies in the future", code=WRONG_USE)
    if start_us < EARLIEST_US:
        fail(
            "the run would begin before 2000; readings from before 2000 are refused", code=WRONG_USE
        )
    return start_us


def _load(plan: Plan) -> Load:
    try:
        return Load(plan)
    except ValueError as error:
        fail(f"--world: {error}", code=WRONG_USE)


def _enrolment(witness: Witness, plan: Plan, api: str, *, quiet: bool) -> Enrolment:
    return Enrolment(
        witness,
        url=api,
        api_key=settings_of(ProductSettings).key,
        interval_us=plan.interval_us,
        console=None if quiet else Terminal(),
    )


def _job(plan: Plan, load: Load, policy: Policy) -> Job:
    return Job(
        chunks=load.chunks(),
        policy=policy,
        start_us=plan.start_us,
        total=plan.expected_readings,
        metadata={"command": "run", **plan.described(), "speed": policy.speed, "rate": policy.rate},
        figures=lambda: {fault.value: count for fault, count in load.faults.items()},
        keep=load.witness.keep if load.witness else None,
    )


def _tell(tell: Callable[[], None], *, too_slow: int = TOO_SLOW) -> None:
    try:
        tell()
    except TooSlowError as error:
        fail(str(error), code=too_slow)
    except ProductError as error:
        fail(str(error), code=LOST)
