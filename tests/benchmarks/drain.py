"""`make bench`: how fast one replica drains a backlog, beside the raw limit of the same server.

Both load the same rows into a new database, in turn, so that their ratio holds on a machine
whose speed drifts. Both tables are filled, fsync and synchronous_commit are on.
"""

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import duckdb
import psutil
import psycopg
import typer
from psycopg import sql
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deploy.local import stack
from deploy.local.stack import Addresses
from deploy.replica import ROOT, Replica
from tests.benchmarks.raw_limit import run_script, write_script

FOLDER = ROOT / ".local" / "bench"
DEVICES = 10_000
LOOK_S = 0.02

console = Console(highlight=False)
Ends = dict[tuple[str, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Drain:
    """One drain: rows a second, peak memory in MB, CPU in microseconds a message."""

    rate: float
    peak_mb: float
    cpu_us: float


def main(
    messages: Annotated[int, typer.Option(min=20_000, help="messages of the backlog")] = 1_000_000,
    pairs: Annotated[int, typer.Option(min=1, help="drains, each beside a raw load")] = 3,
) -> None:
    """Preload a backlog, then drain it and load it raw, in turn; print rates and their ratio."""
    addresses = stack.up(FOLDER)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        ledger = folder / "ledger"
        console.print(f"preloading {messages:,} messages")
        _preload(addresses, ledger, minutes=messages // (2 * DEVICES))
        ends = _ends(ledger)
        total = sum(end - first for first, end in ends.values())
        script = write_script(ledger, folder)
        drains, raws = [], []
        for _ in track(range(pairs), "measuring", console=console):
            with _database(addresses) as url:
                drains.append(_drain(addresses, url, ends, total, folder))
            with _database(addresses) as url:
                raws.append(total / run_script(script, url))
    stack.down(FOLDER)
    _report(total, drains, raws)


def _preload(addresses: Addresses, ledger: Path, *, minutes: int) -> None:
    command = ["producer_sim", "run", "--devices", str(DEVICES), "--duration", f"{minutes}m"]
    command += ["--rate", "max", "--ledger", str(ledger), "--fleet", uuid.uuid4().hex[:6]]
    subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=os.environ | {"KAFKA_BOOTSTRAP_SERVERS": addresses.kafka_bootstrap_servers},
        check=True,
    )


def _ends(ledger: Path) -> Ends:
    """Return the first offset and the one after the last, by topic and partition."""
    with duckdb.connect() as database:
        rows = database.execute(
            "SELECT topic, partition, min(record_offset), max(record_offset) + 1"
            " FROM read_parquet(?) GROUP BY 1, 2",
            [str(ledger / "*.parquet")],
        ).fetchall()
    return {(topic, partition): (first, end) for topic, partition, first, end in rows}


@contextmanager
def _database(addresses: Addresses) -> Iterator[str]:
    """Lend a new database with the schema and its partitions, nothing of it in the cache."""
    name = f"bench_{uuid.uuid4().hex[:8]}"
    url = addresses.database_url.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(addresses.database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        subprocess.run(
            [sys.executable, "-m", "consumer", "schema", "apply"],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": url},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        admin.execute("CHECKPOINT")
        yield url
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _drain(addresses: Addresses, url: str, ends: Ends, total: int, folder: Path) -> Drain:
    group = f"bench-{uuid.uuid4().hex[:8]}"
    wanted = sum(end for _, end in ends.values())
    question = "SELECT sum(next_offset) FROM ingest_offset WHERE consumer_group = %s"
    with psycopg.connect(url, autocommit=True) as onlooker:
        for (topic, partition), (first, _) in ends.items():
            place = [group, topic, partition, first]
            onlooker.execute("INSERT INTO ingest_offset VALUES (%s, %s, %s, %s)", place)
        replica = Replica(
            {
                "KAFKA_BOOTSTRAP_SERVERS": addresses.kafka_bootstrap_servers,
                "DATABASE_URL": url,
                "CONSUMER_GROUP": group,
            },
            log_file=folder / f"{group}.log",
        )
        try:
            replica.wait_for("partitions_opened")
            process = psutil.Process(replica.process.pid)
            begun, cpu_before = time.perf_counter(), sum(process.cpu_times()[:2])
            while (onlooker.execute(question, [group]).fetchone() or [0])[0] < wanted:
                time.sleep(LOOK_S)
            seconds = time.perf_counter() - begun
            cpu = sum(process.cpu_times()[:2]) - cpu_before
            peak_kb = _peak_kb(process.pid)
        finally:
            replica.stop()
        stored = onlooker.execute(
            "SELECT (SELECT count(*) FROM meter_history) + (SELECT count(*) FROM vehicle_history)"
        ).fetchone()
    if stored != (total,):
        raise SystemExit(f"error: {stored} rows are stored of {total}")
    return Drain(total / seconds, peak_kb * 1_024 / 1e6, cpu / total * 1e6)


def _peak_kb(pid: int) -> int:
    """Return the most memory that the process ever had, in KiB; see proc(5), VmHWM."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def _report(total: int, drains: list[Drain], raws: list[float]) -> None:
    ratios = [drain.rate / raw for drain, raw in zip(drains, raws, strict=True)]
    table = Table(title=f"{total:,} messages, {len(drains)} pairs", box=box.SIMPLE_HEAD)
    for header in ("figure", "min", "median", "max"):
        table.add_column(header, justify="left" if header == "figure" else "right")
    figures = {
        "consumer, rows/s": ([drain.rate for drain in drains], ",.0f"),
        "raw limit, rows/s": (raws, ",.0f"),
        "ratio": (ratios, ".2f"),
        "consumer's peak memory, MB": ([drain.peak_mb for drain in drains], ".0f"),
        "consumer's CPU per message, µs": ([drain.cpu_us for drain in drains], ".1f"),
    }
    for name, (values, style) in figures.items():
        ends = (min(values), median(values), max(values))
        table.add_row(name, *(format(value, style) for value in ends))
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
