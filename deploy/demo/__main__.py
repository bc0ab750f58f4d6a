"""`make demo` and `make down`."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import duckdb
import psycopg
import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.demo.replicas import start_replicas, stop_replicas
from deploy.demo.visibility import Onlooker
from deploy.local import stack
from deploy.local.errors import LocalStackError
from deploy.replica import ROOT, Replica, ReplicaError
from producer_sim.display import show_report
from producer_sim.verify import SnapshotError, verify

RECORDING = ROOT / "data" / "uci_household_power_2007-02-01_02.csv"
GROUP = "wattline-demo"
LONGEST_DRAIN_S = 300.0

console = Console(highlight=False)
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Folder = Annotated[
    Path, typer.Option("--dir", file_okay=False, help="where servers, logs and ledgers are kept")
]


@app.command()
def run(
    *,
    folder: Folder = stack.FOLDER,
    devices: Annotated[int, typer.Option(min=1, help="meters, and as many vehicles")] = 10_000,
    minutes: Annotated[int, typer.Option(min=1, help="of the devices' time")] = 30,
    chaos: Annotated[float, typer.Option(min=0, max=1, help="share of faults")] = 0.01,
    replicas: Annotated[int, typer.Option(min=1, help="consumers")] = 2,
) -> None:
    """Send readings through Kafka into PostgreSQL, and compare every one at the end.

    KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL, where they are set, name the servers to use. Exit
    codes: 0 all is as it was sent, 1 it is not or something could not be started.
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
        consumers = start_replicas(replicas, environment, folder=folder)
    except ReplicaError as error:
        _fail(f"{error}; the log: {folder / 'logs'}")
    console.print(
        f"{replicas} consumers share the partitions, group {environment['CONSUMER_GROUP']}"
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
        console.print(
            f"{devices:,} meters and {devices:,} vehicles send {minutes} minutes of their time"
            f" at once, {chaos:.1%} of it faulty on purpose"
        )
        sending_from = time.time()
        simulator = subprocess.Popen(
            [sys.executable, "-m", *live, "--ledger", str(ledgers[1])],
            cwd=ROOT,
            env={**os.environ, **environment},
        )
        _watch(simulator, consumers, ledgers, expected=2 * devices * minutes)
        sent_all = simulator.wait() == 0
    try:
        report = verify(
            ledgers,
            database_url=environment["DATABASE_URL"],
            consumer_group=environment["CONSUMER_GROUP"],
            console=console,
        )
    except SnapshotError as error:
        _fail(str(error))
    show_report(console, report)
    seconds = onlooker.last_change_us / 1e6 - sending_from
    median, late = onlooker.quantiles(ledgers[1], [0.5, 0.99])
    console.print(
        f"[bold]{_acknowledged(ledgers[1:]) / max(seconds, 1e-3):,.0f} messages/s[/bold] from the"
        f" first sent to the last stored; from sent to visible: p50 {median:.2f} s,"
        f" p99 {late:.2f} s (sent faster than stored: it is mostly the wait in the backlog)"
    )
    _show_devices(environment["DATABASE_URL"], fleet)
    _show_where_to_look(environment, consumers, folder)
    console.print(f"the demo took {time.monotonic() - begun:.0f} s; `make down` stops what it left")
    if not (report.clean and sent_all):
        _fail("what is stored is not what was sent")


@app.command()
def down(*, folder: Folder = stack.FOLDER) -> None:
    """Stop the consumers and servers that a demo left running; data and logs are kept."""
    stopped = stop_replicas(folder)
    if stopped:
        console.print(f"{stopped} consumers stopped")
    try:
        stack.down(folder, progress=_Say())
    except LocalStackError as error:
        _fail(str(error))


class _Say:
    """Prints what the local stack does."""

    def say(self, line: str) -> None:
        console.print(line, markup=False)

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
    consumers: list[Replica],
    ledgers: list[Path],
    *,
    expected: int,
) -> None:
    """Show how many messages have found their end, until all that were sent have."""
    columns = (
        TextColumn("stored, or set aside with a reason"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of about {task.total:,.0f}, {task.fields[rate]:,.0f}/s"),
        TimeElapsedColumn(),
    )
    sent: int | None = None
    deadline = time.monotonic() + LONGEST_DRAIN_S
    begun = time.monotonic()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=expected, rate=0)
        while time.monotonic() < deadline:
            done = _consumed(consumers)  # they were started for this demo
            progress.update(task, completed=done, rate=done / (time.monotonic() - begun))
            if sent is not None and done >= sent:
                return
            if sent is None and simulator.poll() is not None:
                sent = _acknowledged(ledgers)
                progress.update(task, total=sent)
            time.sleep(0.2)


def _consumed(consumers: list[Replica]) -> int:
    return int(sum(consumer.metric("telemetry_messages_total{") for consumer in consumers))


def _acknowledged(ledgers: list[Path]) -> int:
    """Return how many messages of the ledgers the broker has, of parts that are written."""
    parts = [str(part) for ledger in ledgers for part in ledger.glob("*.parquet")]
    if not parts:
        return 0
    question = "SELECT count(*) FROM read_parquet(?) WHERE delivery = 'acknowledged'"
    with duckdb.connect() as database:
        row = database.execute(question, [parts]).fetchone()
    return int(row[0]) if row else 0


def _show_devices(database_url: str, fleet: str) -> None:
    table = Table(title="Current state of some devices", box=box.SIMPLE_HEAD)
    for header in ("device", "recorded at", "kWh", "V", "SoC %", "°C"):
        table.add_column(header, no_wrap=True)
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            """
            (SELECT vehicle_id, recorded_at, kwh_delivered_dc, NULL, soc, battery_temp
             FROM vehicle_current_state WHERE starts_with(vehicle_id, %(vehicles)s)
             ORDER BY kwh_delivered_dc DESC LIMIT 3)
            UNION ALL
            (SELECT meter_id, recorded_at, kwh_consumed_ac, voltage, NULL, NULL
             FROM meter_current_state WHERE starts_with(meter_id, %(meters)s)
             ORDER BY kwh_consumed_ac DESC LIMIT 3)
            """,
            {"vehicles": f"veh-{fleet}", "meters": f"mtr-{fleet}"},
        ).fetchall()
    for device, recorded_at, *measures in rows:
        shown = ["" if measure is None else f"{measure:g}" for measure in measures]
        table.add_row(device, f"{recorded_at:%F %T} UTC", *shown)
    console.print(table)


def _show_where_to_look(
    environment: dict[str, str], consumers: list[Replica], folder: Path
) -> None:
    name = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    python = Path(sys.executable)
    python = python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
    console.print("To look further:", style="bold")
    lines = [
        f'eval "$({python} -m deploy.local env --dir {name})"',
        f"{python} -m deploy.local psql --dir {name}",
        f"CONSUMER_GROUP={environment['CONSUMER_GROUP']} {python} -m consumer dead-letters list",
        f"metrics: {'  '.join(f'{consumer.address}/metrics' for consumer in consumers)}",
        f"logs: {name / 'logs'}",
    ]
    for line in lines:
        console.print(f"  {line}", markup=False, soft_wrap=True)


def _fail(message: str) -> NoReturn:
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"error: {message}", markup=False)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
