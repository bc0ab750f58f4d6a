"""`make soak`: does the memory of a replica keep growing under the load that it is meant for?

10,000 meters and as many vehicles, two replicas. The resident memory of each is looked at every
5 s; a straight line is laid through what follows the first fifth, in which caches and pools fill.

A replica counts as leaking if the slope less two standard errors is above 30 KiB/min (42 MiB a
day). Memory moves in steps, not at random, so the true error is larger than the printed one, and a
short run says little: in 2 minutes a single step may look like a leak.
"""

import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, mean
from typing import Annotated, Self

import psutil
import psycopg
import typer
from rich import box
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.backlog import DEVICES, Backlog, read_ends
from benchmarks.drain import console
from benchmarks.load import steady_load
from benchmarks.servers import new_database, servers
from deploy.local.stack import Addresses
from deploy.replica import ROOT, Replica, ReplicaError

REPLICAS = 2
LOOK_S = 5.0
WARM_UP = 0.2
LEAK_KIB_MIN = 30.0
ERRORS = 2

Sample = tuple[float, float]
"""Minutes since the start, KiB."""


@dataclass(frozen=True, slots=True)
class Trend:
    """The line through at least three samples: KiB/min with its standard error, and the ends."""

    slope: float
    error: float
    first: float
    last: float

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Self:
        minutes, memory = zip(*samples, strict=True)
        slope, start = linear_regression(minutes, memory)
        left = sum((kib - start - slope * at) ** 2 for at, kib in samples)
        spread = sum((at - mean(minutes)) ** 2 for at in minutes)
        error = (left / (len(samples) - 2) / spread) ** 0.5
        return cls(slope, error, memory[0], memory[-1])

    @property
    def is_leak(self) -> bool:
        return self.slope - ERRORS * self.error > LEAK_KIB_MIN


def main(
    minutes: Annotated[float, typer.Option(min=1, help="minutes to soak")] = 15,
    rate: Annotated[float, typer.Option(min=1, max=100_000, help="messages/s")] = 2 * DEVICES / 60,
) -> None:
    """Soak two replicas and print the trend of their memory; exit code 1 if it grows."""
    with servers() as addresses, new_database(addresses) as url:
        trends, stored = _soak(addresses, url, minutes=minutes, rate=rate)
    _report(trends, f"{minutes:g} minutes, {rate:,.0f} messages/s, {stored:,} stored")
    raise typer.Exit(any(trend.is_leak for trend in trends))


def _soak(
    addresses: Addresses, url: str, *, minutes: float, rate: float
) -> tuple[list[Trend], int]:
    group = f"soak-{uuid.uuid4().hex[:8]}"
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": addresses.kafka_bootstrap_servers,
        "DATABASE_URL": url,
        "CONSUMER_GROUP": group,
    }
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        onlooker = ending.enter_context(psycopg.connect(url, autocommit=True))
        ends = read_ends(addresses)
        Backlog(ends, ends).give_to(group, onlooker)
        replicas = []
        for number in range(REPLICAS):
            replica = Replica(environment, log_file=folder / f"replica-{number}.log")
            ending.callback(replica.stop)
            replica.wait_for("partitions_opened")
            replicas.append(replica)
        simulator = subprocess.Popen(steady_load(rate), cwd=ROOT, env={**os.environ, **environment})
        ending.callback(simulator.wait)
        ending.callback(simulator.terminate)
        samples = _look(simulator, replicas, minutes=minutes)
        stored = Backlog(ends, ends).left(group, onlooker)
    return [Trend.of(of_one) for of_one in samples], -stored


def _look(
    simulator: subprocess.Popen[bytes], replicas: Sequence[Replica], *, minutes: float
) -> list[list[Sample]]:
    """Return the samples of each replica after the warm-up; raises ReplicaError."""
    samples: list[list[Sample]] = [[] for _ in replicas]
    processes = [psutil.Process(replica.process.pid) for replica in replicas]
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("soaking", total=minutes)
        begun = time.monotonic()
        while (now := (time.monotonic() - begun) / 60) < minutes:
            for process, of_one in zip(processes, samples, strict=True):
                if process.status() == psutil.STATUS_ZOMBIE:
                    raise ReplicaError("a replica has ended")
                if now >= WARM_UP * minutes:
                    of_one.append((now, process.memory_info().rss / 1_024))
            memory = " + ".join(f"{one.memory_info().rss >> 20}" for one in processes)
            progress.update(task, completed=now, description=f"{memory} MiB")
            try:
                raise ReplicaError(f"the simulator has ended: {simulator.wait(LOOK_S)}")
            except subprocess.TimeoutExpired:
                continue
    return samples


def _report(trends: Sequence[Trend], title: str) -> None:
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for header in ("replica", "first, MiB", "last, MiB", "KiB/min", "standard error", ""):
        table.add_column(header, justify="right")
    for number, trend in enumerate(trends, 1):
        table.add_row(
            str(number),
            f"{trend.first / 1_024:,.1f}",
            f"{trend.last / 1_024:,.1f}",
            f"{trend.slope:+,.0f}",
            f"{trend.error:,.0f}",
            "grows" if trend.is_leak else "steady",
        )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
