"""The commands behind `make demo` and `make down`."""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from deploy.demo.findings import show_devices, show_speed, show_where_to_look
from deploy.demo.processes import Processes, start_processes, stop_processes
from deploy.demo.sending import Fleet, command, send
from deploy.demo.verdict import judge
from deploy.demo.visibility import LOOK_S, Visibility
from deploy.local import stack
from deploy.local.addresses import Addresses
from deploy.local.errors import LocalStackError
from deploy.replica import ReplicaError, ReplicaLateError
from deploy.stored_offsets import watched
from producer_sim.commands.display import show_report
from producer_sim.ledger.ledger import LedgerError
from producer_sim.oracle.ask import ask
from producer_sim.oracle.snapshot import SnapshotError
from producer_sim.oracle.truth import read_truths
from producer_sim.oracle.verdict import CLEAN, TOO_SLOW, WRONG, Report, Unasked
from producer_sim.oracle.verify import verify
from runtime.terminal import Terminal, fail

GROUP = "wattline-demo"

console = Terminal()
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Folder = Annotated[
    Path, typer.Option("--dir", file_okay=False, help="folder of servers, logs and ledgers")
]


@app.command()
def run(
    *,
    folder: Folder = stack.FOLDER,
    devices: Annotated[int, typer.Option(min=1, help="number of meters, and of vehicles")] = 500,
    minutes: Annotated[int, typer.Option(min=1, help="minutes of the devices' time to send")] = 600,
    chaos: Annotated[
        float, typer.Option(min=0, max=1, help="share of readings that are faulty on purpose")
    ] = 0.01,
    replicas: Annotated[int, typer.Option(min=1, help="number of consumers")] = 2,
) -> None:
    """Send readings through Kafka into PostgreSQL, and check every row and the API's answers.

    KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL, if they are set, name the servers to use.

    Exit codes: 0 every row is as it was sent and every answer is true, 1 something is wrong or has
    failed, 2 wrong use, 3 nothing is wrong, but this machine was too busy to check everything.
    """
    begun = time.monotonic()
    addresses = _start_servers(folder)
    environment = _environment(addresses, "reader")
    _make_tables(addresses)
    processes = _start_processes(addresses, consumers=replicas, folder=folder)
    fleet = Fleet(
        name=f"demo{int(time.time()) % 100_000}",
        devices=devices,
        minutes=minutes,
        chaos=chaos,
        ledgers=folder / "ledgers",
    )
    database_url, group = environment["DATABASE_URL"], environment["CONSUMER_GROUP"]
    visibility = Visibility()
    with watched(
        visibility.note, database_url=database_url, consumer_group=group, interval_s=LOOK_S
    ):
        simulator = send(fleet, processes, environment, console=console)
    report = _check(fleet, processes, environment, simulator=simulator)
    show_report(console, report)
    if fleet.simulated.exists():
        show_speed(visibility, fleet.simulated, console=console)
    show_devices(database_url, fleet.name, console=console)
    show_where_to_look(environment, processes, fleet, folder=folder, console=console)
    console.print(f"the demo took {time.monotonic() - begun:.0f} s; `make down` stops what it left")
    verdict = judge(report, simulator=simulator)
    for line in verdict.lines:
        console.print(line, style="bold", soft_wrap=True)
    console.print(f"open {processes.api.address}/", style="bold")
    raise typer.Exit(verdict.code)


@app.command()
def down(*, folder: Folder = stack.FOLDER) -> None:
    """Stop the consumers, the API and the servers of a demo; keep data and logs."""
    stopped = stop_processes(folder)
    if "consumer" in stopped:
        console.print(f"{stopped.count('consumer')} consumers stopped")
    if "api" in stopped:
        console.print("the API stopped")
    try:
        stack.down(folder, progress=_Printed())
    except LocalStackError as error:
        fail(str(error), code=WRONG)


def _start_servers(folder: Path) -> Addresses:
    """Start what is missing of the servers."""
    try:
        return stack.up(folder, progress=_Printed())
    except LocalStackError as error:
        fail(str(error), code=WRONG)


def _environment(addresses: Addresses, role: str | None) -> dict[str, str]:
    """Return the environment of a program, which on a server of our own runs under a role."""
    used = addresses.under(role) if role and addresses.logins else addresses
    return {
        "KAFKA_BOOTSTRAP_SERVERS": used.kafka_bootstrap_servers,
        "DATABASE_URL": used.database_url,
        "CONSUMER_GROUP": os.environ.get("CONSUMER_GROUP") or GROUP,
    }


def _make_tables(addresses: Addresses) -> None:
    """Apply the schema, and give each role its rights if the logins are ours."""
    environment = _environment(addresses, None)
    command(["consumer", "schema", "apply"], environment)
    if addresses.logins:
        command(["consumer", "schema", "roles"], environment, quiet=True)


def _start_processes(addresses: Addresses, *, consumers: int, folder: Path) -> Processes:
    environment = _environment(addresses, "consumer")
    try:
        processes = start_processes(
            environment, _environment(addresses, "api"), consumers=consumers, folder=folder
        )
    except ReplicaLateError as error:
        fail(f"this machine is too busy: {error}; the log: {folder / 'logs'}", code=TOO_SLOW)
    except (ReplicaError, OSError) as error:
        fail(f"{error}; the log: {folder / 'logs'}", code=WRONG)
    console.print(
        f"{consumers} consumers share the partitions, group {environment['CONSUMER_GROUP']};"
        f" the API listens at {processes.api.address}"
    )
    return processes


def _check(
    fleet: Fleet, processes: Processes, environment: dict[str, str], *, simulator: int
) -> Report:
    """Compare what is stored with the ledgers, and the API's answers with the truth."""
    ledgers = fleet.written()
    try:
        report = verify(
            ledgers,
            database_url=environment["DATABASE_URL"],
            consumer_group=environment["CONSUMER_GROUP"],
            console=console,
        )
        return _with_answers(report, processes.api.address, ledgers, simulator=simulator)
    except (LedgerError, SnapshotError) as error:
        fail(str(error), code=WRONG)


def _with_answers(report: Report, api: str, ledgers: list[Path], *, simulator: int) -> Report:
    """Return the report with the check of the API, if the simulator told the API everything.

    Raises LedgerError.
    """
    if simulator == CLEAN:
        console.print("asking the API about every vehicle, the fleet and the anomalies")
        return report.with_more(*ask(api, None, read_truths(ledgers), exact=False, console=console))
    late = simulator == TOO_SLOW
    problem = "the API was not told of all of it in time" if late else "the truth is not known"
    return replace(report, unasked=Unasked(problem, too_slow=late))


class _Printed:
    """Prints what the local stack does."""

    def say(self, line: str) -> None:
        console.print(line)

    def jars(self, done: int, total: int) -> None:
        if done in (0, total):
            console.print(f"downloading Kafka: {done} of {total} jars")


if __name__ == "__main__":
    app()
