"""`make bench`: how fast one replica drains a backlog, beside the raw limit of the same server.

Both load the same rows into a new database, in turn, so that their ratio holds on a machine
whose speed drifts. Both tables are filled, fsync and synchronous_commit are on.
"""

import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import psutil
import psycopg
import typer
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deploy.local.stack import Addresses
from deploy.replica import Replica
from tests.benchmarks.backlog import Backlog, preload
from tests.benchmarks.raw_limit import run_script, write_script
from tests.benchmarks.servers import new_database, servers

LOOK_S = 0.02

console = Console(highlight=False)
Figures = dict[str, tuple[Sequence[float], str]]
"""The values of a figure, one a round, and how to write them, by its name."""


@dataclass(frozen=True, slots=True)
class Drain:
    """One drain: messages, seconds, peak memory in bytes, CPU in seconds."""

    messages: int
    seconds: float
    peak: int
    cpu: float

    @property
    def rate(self) -> float:
        return self.messages / self.seconds


def main(
    messages: Annotated[int, typer.Option(min=20_000, help="messages of the backlog")] = 1_000_000,
    pairs: Annotated[int, typer.Option(min=1, help="drains, each beside a raw load")] = 3,
) -> None:
    """Preload a backlog, then drain it and load it raw, in turn; print rates and their ratio."""
    with servers() as addresses, tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        console.print(f"preloading {messages:,} messages")
        backlog = preload(addresses, messages, "--ledger", str(folder / "ledger"))
        script = write_script(folder / "ledger", folder)
        drains, raws = [], []
        for _ in track(range(pairs), "measuring", console=console):
            drains.append(drain(addresses, backlog))
            with new_database(addresses) as url:
                raws.append(len(backlog) / run_script(script, url))
    report(
        f"{len(backlog):,} messages, {pairs} pairs",
        {
            "consumer, rows/s": ([one.rate for one in drains], ",.0f"),
            "raw limit, rows/s": (raws, ",.0f"),
            "ratio": ([one.rate / raw for one, raw in zip(drains, raws, strict=True)], ".2f"),
            "consumer's peak memory, MB": ([one.peak / 1e6 for one in drains], ".0f"),
            "consumer's CPU per message, µs": (
                [one.cpu / one.messages * 1e6 for one in drains],
                ".1f",
            ),
        },
    )


def drain(
    addresses: Addresses,
    backlog: Backlog,
    *,
    kill_at: float | None = None,
    on_look: Callable[[int], None] = lambda _left: None,
) -> Drain:
    """Let one replica store the backlog in a new database.

    `kill_at` is the share of the backlog, once stored, at which the replica is killed and started
    again at once; memory and CPU are then those of the second. `on_look` is told what is left.
    Raises ReplicaError, and where other than the backlog is stored.
    """
    group = f"bench-{uuid.uuid4().hex[:8]}"
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        new_database(addresses) as url,
        psycopg.connect(url, autocommit=True) as onlooker,
    ):
        backlog.give_to(group, onlooker)
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": addresses.kafka_bootstrap_servers,
            "DATABASE_URL": url,
            "CONSUMER_GROUP": group,
            "KAFKA_GROUP_INSTANCE_ID": group,
        }
        log_file = Path(folder) / "replica.log"
        replica = Replica(environment, log_file=log_file)
        try:
            replica.wait_for("partitions_opened")
            process = psutil.Process(replica.process.pid)
            begun, cpu_before = time.perf_counter(), sum(process.cpu_times()[:2])
            alive_until = len(backlog) * (1 - kill_at) if kill_at is not None else -1
            while (left := backlog.left(group, onlooker)) > 0:
                on_look(left)
                if left <= alive_until:
                    replica.kill()
                    replica = Replica(environment, log_file=log_file)
                    process, cpu_before, alive_until = psutil.Process(replica.process.pid), 0.0, -1
                if replica.process.poll() is not None:
                    replica.wait_for("the end of the backlog")  # raises, with its last line
                time.sleep(LOOK_S)
            seconds = time.perf_counter() - begun
            cpu = sum(process.cpu_times()[:2]) - cpu_before
            peak = peak_memory(process.pid)
        finally:
            replica.stop()
        _check_stored(onlooker, len(backlog))
    return Drain(len(backlog), seconds, peak, cpu)


def peak_memory(pid: int) -> int:
    """Return the most memory that the process ever had, in bytes; see proc(5), VmHWM."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1_024


def _check_stored(onlooker: psycopg.Connection, messages: int) -> None:
    tables = ("meter_history", "vehicle_history", "dead_letter")
    counts = " + ".join(f"(SELECT count(*) FROM {table})" for table in tables)
    (stored,) = onlooker.execute(f"SELECT {counts}").fetchall()[0]
    if stored != messages:
        raise SystemExit(f"error: {stored} rows are stored of {messages} messages")


def report(title: str, figures: Figures) -> None:
    """Print the least, the median and the most of each figure."""
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for header in ("figure", "min", "median", "max"):
        table.add_column(header, justify="left" if header == "figure" else "right")
    for name, (values, style) in figures.items():
        ends = (min(values), median(values), max(values))
        table.add_row(name, *(format(value, style) for value in ends))
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
