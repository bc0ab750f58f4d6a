"""The commands, nothing else."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from pydantic_settings import BaseSettings

from producer_sim.commands import options
from producer_sim.commands.display import show_report
from producer_sim.commands.load import Load, Plan
from producer_sim.commands.send import Job, default_ledger, send
from producer_sim.devices.chaos import SPLIT, Fault, Shares
from producer_sim.devices.replay import Recording, ReplayError
from producer_sim.ledger.ledger import EmptyLedgerError, LedgerError
from producer_sim.ledger.reports import Tally
from producer_sim.oracle.answers import ask
from producer_sim.oracle.enrolment import Enrolment
from producer_sim.oracle.product import ProductError, TooSlowError
from producer_sim.oracle.snapshot import SnapshotError
from producer_sim.oracle.truth import read_truths
from producer_sim.oracle.verdict import TOO_SLOW
from producer_sim.oracle.verify import verify
from producer_sim.sending.pace import Policy
from producer_sim.sending.sender import SenderError
from producer_sim.sending.transmit import system_clock
from producer_sim.settings import DatabaseSettings, ProductSettings
from runtime.kafka.settings import KafkaSettings
from runtime.printable import printable
from runtime.settings import SettingsError, load
from runtime.terminal import Terminal
from telemetry.timestamps import EARLIEST_US, format_timestamp

LOST, WRONG_USE = 1, 2
_DETAILED_FAULTS = 20

Section = TypeVar("Section", bound=BaseSettings)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="A fleet of meters and electric vehicles: sends readings to Kafka, keeps a ledger of"
    " every message, and checks the database against it.",
)


def _share(description: str) -> Any:
    return typer.Option(
        min=0.0, max=1.0, metavar="SHARE", rich_help_panel="Faults", help=description
    )


Rate = Annotated[
    float | None,
    typer.Option(
        parser=options.rate, metavar="N|max", help="Messages per second at most; max or 0: unbound."
    ),
]
LedgerDirectory = Annotated[
    Path | None,
    typer.Option(
        "--ledger", help="Where the ledger is kept: a new directory; ledger/<time> by default."
    ),
]
NoLedger = Annotated[bool, typer.Option("--no-ledger", help="Keep none; verify cannot check it.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but what went wrong.")]


@app.command("run")
def run_command(
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
            "Readings, 0 to 1, that something befalls, split over all faults: "
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
        _fail("--api needs --world: other devices need not be registered", WRONG_USE)
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
        _fail(str(error), WRONG_USE)
    now = system_clock()
    pace = Policy.of_run(speed=speed, rate=rate)
    begins = pace.default_start(now, duration) if start is None else start
    if begins > now:
        _fail(f"--start {format_timestamp(begins)} lies in the future", WRONG_USE)
    if begins < EARLIEST_US:
        _fail("the run would begin before 2000, of which no reading is taken", WRONG_USE)
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
        _fail(f"--world: {error}", WRONG_USE)
    enrolment = None
    if api is not None and made.witness is not None:
        enrolment = Enrolment(
            made.witness,
            url=api,
            api_key=_settings(ProductSettings).key,
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
    tally = _send(job, ledger, no_ledger=no_ledger, quiet=quiet)
    if enrolment is not None:
        _tell(enrolment.after, too_slow=TOO_SLOW if tally.complete else LOST)
    raise typer.Exit(0 if tally.complete else LOST)


@app.command("replay")
def replay_command(
    *,
    file: Annotated[Path, typer.Argument(help="UCI household power, or JSON lines.")],
    meter_id: Annotated[
        str, typer.Option(parser=options.device_id, metavar="ID", help="The meter of UCI data.")
    ] = "uci-household",
    shift_to_now: Annotated[
        bool,
        typer.Option(
            "--shift-to-now", help="Move all readings by the same time, so that the last is now."
        ),
    ] = False,
    rate: Rate = None,
    ledger: LedgerDirectory = None,
    no_ledger: NoLedger = False,
    quiet: Quiet = False,
) -> None:
    """Send recorded readings, as fast as they go or at `--rate`.

    FILE is either the household power data of UCI (semicolons or commas, kW per minute) or one
    reading a line in the contract's JSON, which is sent byte for byte unless it is shifted. Lines
    without a reading are named and skipped; readings marked as missing (?) are counted.

    Exit codes: 0 done, 1 a line was bad, a message was lost or nothing was sent, 2 wrong use.
    """
    try:
        recording = Recording(path=file, meter_id=meter_id)
    except ReplayError as error:
        _fail(str(error), WRONG_USE)
    latest = recording.latest() if shift_to_now else None
    shift_us = 0 if latest is None else (system_clock() - latest) // 1_000 * 1_000
    pace = Policy.free(rate=rate)
    job = Job(
        chunks=recording.chunks(shift_us=shift_us),
        policy=pace,
        start_us=0,
        total=None,
        metadata={"command": "replay", "file": file.name, "shift_us": shift_us, "rate": pace.rate},
        figures=lambda: {"gaps": recording.gaps, "bad_lines": len(recording.faults)},
    )
    tally = _send(job, ledger, no_ledger=no_ledger, quiet=quiet)
    for fault in recording.faults[:_DETAILED_FAULTS]:
        _say(f"{file}:{fault.number}: {fault.problem}")
    if len(recording.faults) > _DETAILED_FAULTS:
        _say(f"{file}: {len(recording.faults) - _DETAILED_FAULTS} more bad lines")
    raise typer.Exit(0 if tally.complete and not recording.faults else LOST)


@app.command("verify")
def verify_command(
    *,
    ledgers: Annotated[list[Path], typer.Argument(help="Directories that run or replay filled.")],
    exact: Annotated[
        bool,
        typer.Option("--exact", help="The tables must hold nothing but these ledgers' messages."),
    ] = False,
    wait: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=604_800.0,
            help="Seconds to wait for consumers that do not move on, and for each answer of an API"
            " that is busy.",
        ),
    ] = 60.0,
    answers: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Ask this API too, and compare its answers with the truth of each ledger of"
            " `run --world`; with API_KEY, where one is set.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compare what was sent with what is stored, value by value.

    Looks at DATABASE_URL and CONSUMER_GROUP, in one read-only snapshot. Finds readings that are
    lost, invented, altered or doubled, messages with another outcome than theirs, and current
    states that are not the newest reading. With --answers, wrong energies, coverages and statuses
    of any vehicle, of the fleet, and faults that are missed or made up.

    Exit codes: 0 clean, 1 a check failed or could not be made, 2 wrong use, 3 the stored data are
    right and no answer was wrong, but some did not come in time.
    """
    database = _settings(DatabaseSettings)
    console = Terminal(stderr=as_json)
    try:
        truths = read_truths(ledgers) if answers is not None else []
        report = verify(
            ledgers,
            database_url=database.database_url.get_secret_value(),
            consumer_group=database.consumer_group,
            exact=exact,
            wait_seconds=wait,
            console=console,
        )
        if answers is not None:
            key = _settings(ProductSettings).key
            report = report.with_more(
                *ask(answers, key, truths, exact=exact, console=console, patience_s=wait)
            )
    except (EmptyLedgerError, SnapshotError) as error:
        _fail(str(error), LOST)
    except LedgerError as error:
        _fail(str(error), WRONG_USE)
    if as_json:
        sys.stdout.write(report.to_json() + "\n")
    else:
        show_report(console, report)
    raise typer.Exit(report.exit_code)


def _send(job: Job, ledger: Path | None, *, no_ledger: bool, quiet: bool) -> Tally:
    if ledger is not None and no_ledger:
        _fail("--ledger and --no-ledger exclude each other", WRONG_USE)
    kafka = _settings(KafkaSettings)
    directory = None if no_ledger else ledger or default_ledger(system_clock())
    try:
        tally = send(job, kafka=kafka, ledger=directory, console=Terminal(), quiet=quiet, say=_say)
    except (LedgerError, SettingsError) as error:
        _fail(str(error), WRONG_USE)
    except SenderError as error:
        _fail(str(error), LOST)
    if not tally.sent:
        befallen = [
            f"{count:,} {what.replace('_', ' ')}" for what, count in job.figures().items() if count
        ]
        _say(", ".join(["nothing was sent", *befallen]))
    return tally


def _tell(tell: Callable[[], None], *, too_slow: int = TOO_SLOW) -> None:
    try:
        tell()
    except TooSlowError as error:
        _fail(str(error), too_slow)
    except ProductError as error:
        _fail(str(error), LOST)


def _settings(section: type[Section]) -> Section:
    try:
        return load(section)
    except SettingsError as error:
        _fail(str(error), WRONG_USE)


def _say(line: str) -> None:
    typer.echo(printable(line), err=True)


def _fail(line: str, code: int) -> NoReturn:
    _say(line)
    raise typer.Exit(code)


main: Callable[[], None] = app

if __name__ == "__main__":
    main()
