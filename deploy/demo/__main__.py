"""`make demo` and `make down`."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

import duckdb
import typer
from rich import box
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from deploy.demo.processes import Counted, Processes, start_processes, stop_processes
from deploy.demo.verdict import judge
from deploy.demo.visibility import Onlooker
from deploy.local import stack
from deploy.local.errors import LocalStackError
from deploy.replica import ROOT, ReplicaError, ReplicaLateError
from producer_sim.commands.display import show_report
from producer_sim.ledger.ledger import LedgerError, parts
from producer_sim.oracle.ask import ask
from producer_sim.oracle.snapshot import SnapshotError
from producer_sim.oracle.truth import read_truths
from producer_sim.oracle.verdict import CLEAN, TOO_SLOW, WRONG, Report, Unasked
from producer_sim.oracle.verify import verify
from runtime.session import connect
from runtime.terminal import Terminal

RECORDING = ROOT / "data" / "uci_household_power_2007-02-01_02.csv"
GROUP = "wattline-demo"
LONGEST_DRAIN_S = 300.0
_MADE = 'telemetry_http_requests_total{method="POST"'

console = Terminal()
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Folder = Annotated[
    Path, typer.Option("--dir", file_okay=False, help="where servers, logs and ledgers are kept")
]


@app.command()
def run(
    *,
    folder: Folder = stack.FOLDER,
    devices: Annotated[int, typer.Option(min=1, help="meters, and as many vehicles")] = 500,
    minutes: Annotated[int, typer.Option(min=1, help="of the devices' time")] = 600,
    chaos: Annotated[float, typer.Option(min=0, max=1, help="share of faults")] = 0.01,
    replicas: Annotated[int, typer.Option(min=1, help="consumers")] = 2,
) -> None:
    """Send readings through Kafka into PostgreSQL, compare every one, and the API with the truth.

    KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL, where they are set, name the servers to use.

    Exit codes: 0 all is as it was sent and every answer is true, 1 it is not or something failed,
    2 wrong use, 3 nothing was found wrong, but this machine was too busy to check all.
    """
    begun = time.monotonic()
    try:
        environment = _environment(stack.up(folder, progress=_Say()))
    except LocalStackError as error:
        _fail(str(error))
    _command(["consumer", "schema", "apply"], environment)
    fleet = f"demo{int(time.time()) % 100_000}"
    ledgers = [folder / "ledgers" / f"{fleet}-{part}" for part in ("recorded", "devices")]
    try:
        processes = start_processes(environment, consumers=replicas, folder=folder)
    except ReplicaLateError as error:
        _fail(f"this machine is too busy: {error}; the log: {folder / 'logs'}", TOO_SLOW)
    except (ReplicaError, OSError) as error:
        _fail(f"{error}; the log: {folder / 'logs'}")
    api = processes.api.address
    console.print(
        f"{replicas} consumers share the partitions, group {environment['CONSUMER_GROUP']};"
        f" the API listens at {api}"
    )

    with Onlooker(
        database_url=environment["DATABASE_URL"], consumer_group=environment["CONSUMER_GROUP"]
    ) as onlooker:
        console.print("replaying two days of a real household, moved to end now")
        replay = ["producer_sim", "replay", str(RECORDING), "--shift-to-now", "--quiet"]
        _command(
            [*replay, "--meter-id", f"mtr-{fleet}-uci", "--ledger", str(ledgers[0])], environment
        )
        live = ["producer_sim", "run", "--rate", "max", "--quiet", "--fleet", fleet]
        live += ["--devices", str(devices), "--duration", f"{minutes}m", "--chaos", str(chaos)]
        live += ["--world", "--api", api]
        console.print(
            f"{devices:,} meters and {devices:,} vehicles are registered, then they send"
            f" {minutes} minutes of their time at once, {chaos:.1%} of it faulty on purpose"
        )
        simulator = subprocess.Popen(
            [sys.executable, "-m", *live, "--ledger", str(ledgers[1])],
            cwd=ROOT,
            env={**os.environ, **environment},
        )
        _watch(simulator, processes, ledgers, devices=devices, minutes=minutes)
        ended = simulator.wait()
    kept = [ledger for ledger in ledgers if ledger.exists()]
    try:
        report = verify(
            kept,
            database_url=environment["DATABASE_URL"],
            consumer_group=environment["CONSUMER_GROUP"],
            console=console,
        )
        report = _with_answers(report, api, kept, simulator=ended)
    except (LedgerError, SnapshotError) as error:
        _fail(str(error))
    show_report(console, report)
    if ledgers[1] in kept:
        _show_speed(onlooker, ledgers[1])
    _show_devices(environment["DATABASE_URL"], fleet)
    _show_where_to_look(environment, processes, kept, folder)
    console.print(f"the demo took {time.monotonic() - begun:.0f} s; `make down` stops what it left")
    verdict = judge(report, simulator=ended)
    for line in verdict.lines:
        console.print(line, style="bold", soft_wrap=True)
    console.print(f"open {api}/", style="bold")
    raise typer.Exit(verdict.code)


@app.command()
def down(*, folder: Folder = stack.FOLDER) -> None:
    """Stop the consumers, the API and the servers that a demo left; data and logs are kept."""
    stopped = stop_processes(folder)
    if "consumer" in stopped:
        console.print(f"{stopped.count('consumer')} consumers stopped")
    if "api" in stopped:
        console.print("the API stopped")
    try:
        stack.down(folder, progress=_Say())
    except LocalStackError as error:
        _fail(str(error))


class _Say:
    """Prints what the local stack does."""

    def say(self, line: str) -> None:
        console.print(line)

    def jars(self, done: int, total: int) -> None:
        if done in (0, total):
            console.print(f"downloading Kafka: {done} of {total} jars")


def _environment(addresses: stack.Addresses) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": addresses.kafka_bootstrap_servers,
        "DATABASE_URL": addresses.database_url,
        "CONSUMER_GROUP": os.environ.get("CONSUMER_GROUP") or GROUP,
    }


def _command(words: Sequence[str], environment: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, env={**os.environ, **environment}, check=False
    )
    if ended.returncode:
        _fail(f"`python -m {' '.join(words)}` ended with {ended.returncode}")


def _watch(
    simulator: subprocess.Popen[bytes],
    processes: Processes,
    ledgers: list[Path],
    *,
    devices: int,
    minutes: int,
) -> None:
    """Show what the API was told, and how many messages have found their end, until all have."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of about {task.total:,.0f}"),
        TimeElapsedColumn(),
    )
    sent: int | None = None
    deadline = math.inf
    requests = Counted([processes.api], _MADE)
    consumed = Counted(processes.consumers, "telemetry_messages_total{")  # started for this demo
    with Progress(*columns, console=console) as progress:
        # Two devices and their assignment; sessions come on top.
        told = progress.add_task("told over HTTP", total=3 * devices)
        ended = progress.add_task("stored, or set aside with a reason", total=2 * devices * minutes)
        while time.monotonic() < deadline:
            progress.update(told, completed=requests.total())
            done = consumed.total()
            progress.update(ended, completed=done)
            if sent is not None and done >= sent:
                return
            if sent is None and simulator.poll() is not None:
                sent = _acknowledged(ledgers)
                progress.update(ended, total=sent)
                deadline = time.monotonic() + LONGEST_DRAIN_S
            time.sleep(0.2)


def _with_answers(report: Report, api: str, ledgers: list[Path], *, simulator: int) -> Report:
    """Ask the API, where it was told all that it is asked about. Raises LedgerError."""
    if simulator == CLEAN:
        console.print("asking the API about every vehicle, the fleet and the anomalies")
        return report.with_more(*ask(api, None, read_truths(ledgers), exact=False, console=console))
    late = simulator == TOO_SLOW
    problem = "the API was not told of all of it in time" if late else "the truth is not known"
    return replace(report, unasked=Unasked(problem, too_slow=late))


def _acknowledged(ledgers: list[Path]) -> int:
    """Return how many messages of the ledgers the broker has, of parts that are written."""
    written = [str(part) for ledger in ledgers for part in parts(ledger)]
    if not written:
        return 0
    question = "SELECT count(*) FROM read_parquet(?) WHERE delivery = 'acknowledged'"
    with duckdb.connect() as database:
        row = database.execute(question, [written]).fetchone()
    return int(row[0]) if row else 0


def _first_sent_us(ledger: Path) -> int:
    """Return when the first of a ledger's messages was sent, in microseconds since 1970."""
    question = "SELECT min(sent_at) FROM read_parquet(?)"
    with duckdb.connect() as database:
        row = database.execute(question, [[str(part) for part in parts(ledger)]]).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def _show_speed(onlooker: Onlooker, ledger: Path) -> None:
    seconds = (onlooker.last_change_us - _first_sent_us(ledger)) / 1e6
    median, late = onlooker.quantiles(ledger, [0.5, 0.99])
    console.print(
        Text(f"{_acknowledged([ledger]) / max(seconds, 1e-3):,.0f} messages/s", style="bold"),
        f"from the first sent to the last stored; from sent to visible: p50 {median:.2f} s,"
        f" p99 {late:.2f} s (sent faster than stored: it is mostly the wait in the backlog)",
    )


def _show_devices(database_url: str, fleet: str) -> None:
    table = Table(title="Current state of some devices", box=box.SIMPLE_HEAD)
    for header in ("device", "recorded at (UTC)", "kWh", "V", "SoC %", "°C"):
        table.add_column(header, no_wrap=True)
    with connect(database_url, application_name="wattline-demo") as connection:
        rows = connection.execute(
            """
            (SELECT vehicle_id, recorded_at, kwh_delivered_dc, NULL, soc, battery_temp
             FROM vehicle_current_state JOIN vehicle USING (vehicle_id)
             WHERE starts_with(vehicle_id, %(vehicles)s) AND reading_kind = 'interval'
             ORDER BY kwh_delivered_dc DESC LIMIT 3)
            UNION ALL
            (SELECT meter_id, recorded_at, kwh_consumed_ac, voltage, NULL, NULL
             FROM meter_current_state JOIN meter USING (meter_id)
             WHERE starts_with(meter_id, %(meters)s) AND reading_kind = 'interval'
             ORDER BY kwh_consumed_ac DESC LIMIT 3)
            """,
            {"vehicles": f"veh-{fleet}", "meters": f"mtr-{fleet}"},
        ).fetchall()
    for device, recorded_at, *measures in rows:
        shown = ["" if measure is None else f"{measure:g}" for measure in measures]
        table.add_row(device, f"{recorded_at:%F %T}", *shown)
    console.print(table)


def _show_where_to_look(
    environment: dict[str, str], processes: Processes, ledgers: list[Path], folder: Path
) -> None:
    name = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    python = Path(sys.executable)
    python = python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
    console.print("To look further:", style="bold")
    group = f"CONSUMER_GROUP={environment['CONSUMER_GROUP']} {python} -m"
    sent = " ".join(str(name / ledger.relative_to(folder)) for ledger in ledgers)
    lines = [
        f'eval "$({python} -m deploy.local env --dir {name})"',
        f"{python} -m deploy.local psql --dir {name}",
        f"{group} consumer dead-letters list",
        f"{group} producer_sim verify {sent} --answers {processes.api.address}",
        f"metrics: {'  '.join(f'{one.address}/metrics' for one in processes.consumers)}",
        f"logs: {name / 'logs'}",
    ]
    for line in lines:
        console.print(f"  {line}", soft_wrap=True)


def _fail(message: str, code: int = WRONG) -> NoReturn:
    Terminal(stderr=True, soft_wrap=True).print(f"error: {message}")
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
