"""`make bench`: how fast one replica drains a backlog, beside the raw limit of the same server.

Both load the same rows into a new database, in turn, so that their ratio holds on a machine
whose speed drifts. Both tables are filled, fsync and synchronous_commit are on. A checkpoint comes
before each of them, so that none pays for the other.
"""

import re
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
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

from benchmarks import history
from benchmarks.backlog import Backlog, preload
from benchmarks.latency import RATES, SECONDS, measure_all, recorded
from benchmarks.latency import report as report_latencies
from benchmarks.processes import ServerCpu, ServerProcesses, cpu_seconds
from benchmarks.raw_limit import run_script, write_script
from benchmarks.servers import new_database, servers
from deploy.local.stack import Addresses
from deploy.replica import Replica

LOOK_S = 0.02
STAGES = ("decode", "encode", "copy", "upsert", "commit")
"""As the replica's metric names them."""

UNKNOWN = "–"  # noqa: RUF001 - meant

console = Console(highlight=False)
Figures = dict[str, tuple[Sequence[float], str]]
"""The values of a figure, one a round, and how to write them, by its name."""


@dataclass(frozen=True, slots=True)
class Drain:
    """One drain: messages, seconds, peak memory in bytes, CPU in seconds, and that by stage.

    For decode and encode the stages hold CPU seconds, for the others the seconds of waiting for a
    connection; none if the replica counts no stages.
    """

    messages: int
    seconds: float
    peak: int
    cpu: float
    servers: ServerCpu
    stages: dict[str, float]

    @property
    def rate(self) -> float:
        return self.messages / self.seconds


@dataclass(frozen=True, slots=True)
class LivedIn:
    """A database that holds readings already, none of this time or later."""

    url: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Pair:
    """A drain, and beside it a raw load of the same rows: its seconds, and the servers' CPU."""

    drain: Drain
    raw_seconds: float
    raw_servers: ServerCpu

    @property
    def raw_rate(self) -> float:
        return self.drain.messages / self.raw_seconds

    def figures(self) -> dict[str, float | None]:
        """Return the values of all tables, None for what is not known; µs are of one message."""
        one, stages = self.drain, self.drain.stages

        def micros(seconds: float | None) -> float | None:
            return None if seconds is None else seconds / one.messages * 1e6

        raw_postgres = self.raw_servers.postgres
        fetch = one.cpu - stages["decode"] - stages["encode"] if stages else None
        return {
            "consumer_rows_s": one.rate,
            "raw_rows_s": self.raw_rate,
            "ratio": one.rate / self.raw_rate,
            "cpu_ratio": one.cpu / raw_postgres if raw_postgres else None,
            "peak_mb": one.peak / 1e6,
            "consumer_cpu_us": micros(one.cpu),
            "postgres_cpu_us": micros(one.servers.postgres),
            "broker_cpu_us": micros(one.servers.broker),
            "raw_postgres_cpu_us": micros(raw_postgres),
            "fetch_us": micros(fetch),
            **{f"{stage}_us": micros(stages.get(stage)) for stage in STAGES},
        }


TABLES = {
    "the drain beside the raw limit": {
        "consumer_rows_s": ("consumer, rows/s", ",.0f"),
        "raw_rows_s": ("raw limit, rows/s", ",.0f"),
        "ratio": ("consumer / raw limit", ".2f"),
        "cpu_ratio": ("consumer's CPU / PostgreSQL's for the raw limit", ".2f"),
        "peak_mb": ("consumer's peak memory, MB", ".0f"),
    },
    "CPU by process, µs a message": {
        "consumer_cpu_us": ("consumer", ".2f"),
        "postgres_cpu_us": ("PostgreSQL", ".2f"),
        "broker_cpu_us": ("broker", ".2f"),
        "raw_postgres_cpu_us": ("raw limit: PostgreSQL", ".2f"),
    },
    "the consumer by stage, µs a message": {
        "fetch_us": ("fetch and the loop, CPU", ".2f"),
        "decode_us": ("decode, CPU", ".2f"),
        "encode_us": ("encode, CPU", ".2f"),
        "copy_us": ("copy, waited for", ".2f"),
        "upsert_us": ("upsert, waited for", ".2f"),
        "commit_us": ("commit, waited for", ".2f"),
    },
}
"""The rows of each table: name and format of each figure, by what it is recorded as."""


def main(
    messages: Annotated[int, typer.Option(min=20_000, help="messages of the backlog")] = 1_000_000,
    pairs: Annotated[int, typer.Option(min=1, help="drains, each beside a raw load")] = 5,
    latency: Annotated[
        bool, typer.Option(help="Measure from sent to visible too, at 333, 5,000 and 20,000/s.")
    ] = True,
    latency_seconds: Annotated[
        int, typer.Option(min=1, help="seconds that each of these rates is measured for")
    ] = SECONDS,
    record: Annotated[
        bool, typer.Option("--record", help="Add the figures to docs/benchmarks.")
    ] = False,
) -> None:
    """Drain a backlog and load it raw, in turn; print rates, ratios, CPU, memory and latency.

    Both servers are started unless KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL name others. The CPU
    of a server that is not on this machine is left out.
    """
    with servers() as addresses:
        measured = measure_pairs(addresses, messages=messages, pairs=pairs)
        length = measured[0].drain.messages
        values = _by_figure(measured)
        console.print(f"{length:,} messages, {pairs} pairs")
        for title, rows in TABLES.items():
            report(title, {name: (values[key], style) for key, (name, style) in rows.items()})
        latencies = (
            measure_all(addresses, RATES, seconds=latency_seconds, onto=console) if latency else []
        )
    if latency:
        report_latencies(latencies, onto=console)
    if record:
        figures = {name: history.spread(of_one) for name, of_one in values.items()}
        known: dict[str, object] = {name: ends for name, ends in figures.items() if ends}
        if latency:
            known["latency_ms"] = recorded(latencies)
        history.record("drain", {"messages": length, "pairs": pairs, **known})


def measure_pairs(addresses: Addresses, *, messages: int, pairs: int) -> list[Pair]:
    """Preload a backlog, and measure; raises as `drain` and `run_script` do."""
    processes = ServerProcesses.at(addresses)
    for name in processes.missing():
        console.print(f"{name} is not seen on this machine: its CPU is left out")
    measured = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        console.print(f"preloading {messages:,} messages")
        backlog = preload(addresses, messages, "--ledger", str(folder / "ledger"))
        script = write_script(folder / "ledger", folder)
        for _ in track(range(pairs), "measuring", console=console):
            drained = drain(addresses, backlog)
            with new_database(addresses) as url:
                before = processes.cpu()
                seconds = run_script(script, url)
                measured.append(Pair(drained, seconds, processes.cpu().since(before)))
    return measured


def _by_figure(pairs: Sequence[Pair]) -> dict[str, list[float]]:
    """Return the known values of each figure, one a pair."""
    rounds = [pair.figures() for pair in pairs]
    return {
        name: [value for one in rounds if (value := one[name]) is not None] for name in rounds[0]
    }


def drain(
    addresses: Addresses,
    backlog: Backlog,
    *,
    kill_at: float | None = None,
    on_look: Callable[[int], None] = lambda _left: None,
    into: LivedIn | None = None,
) -> Drain:
    """Let one replica store the backlog, in a new database or in one that then keeps its rows.

    `kill_at` is the share of the backlog, once stored, at which the replica is killed and started
    again at once; its memory, CPU and stages are then those of the second. `on_look` is told what
    is left. Raises ReplicaError; ends the program if something else than the backlog is stored.
    """
    group = f"bench-{uuid.uuid4().hex[:8]}"
    processes = ServerProcesses.at(addresses)
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        nullcontext(into.url) if into else new_database(addresses) as url,
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
            servers_before = processes.cpu()
            begun, cpu_before = time.perf_counter(), cpu_seconds(process)
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
            cpu = cpu_seconds(process) - cpu_before
            servers_cpu = processes.cpu().since(servers_before)
            peak = peak_memory(process.pid)
            stages = stage_seconds(replica)
        finally:
            replica.stop()
        check_stored(onlooker, backlog, group, since=into.until if into else None)
    return Drain(len(backlog), seconds, peak, cpu, servers_cpu, stages)


def stage_seconds(replica: Replica) -> dict[str, float]:
    """Return what the replica counts by stage; nothing if it counts none. Raises OSError."""
    _, page = replica.get("/metrics")
    found = re.findall(r'^telemetry_stage_seconds_total{stage="(\w+)"} (.+)$', page, re.MULTILINE)
    return {stage: float(seconds) for stage, seconds in found}


def peak_memory(pid: int) -> int:
    """Return the most memory that the process ever had, in bytes; see proc(5), VmHWM."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1_024


def check_stored(
    onlooker: psycopg.Connection, backlog: Backlog, group: str, *, since: datetime | None = None
) -> None:
    """Exit unless the rows, of this time or later, and the dead letters are the backlog's."""
    (stored,) = onlooker.execute(
        """
        SELECT (SELECT count(*) FROM meter_history WHERE recorded_at >= %(since)s)
             + (SELECT count(*) FROM vehicle_history WHERE recorded_at >= %(since)s)
             + (SELECT count(*) FROM dead_letter WHERE consumer_group = %(group)s)
        """,
        {"since": since or "-infinity", "group": group},
    ).fetchall()[0]
    if stored != len(backlog) - backlog.copies:
        raise SystemExit(
            f"error: {stored} rows are stored of {len(backlog)} messages,"
            f" {backlog.copies} copies among them"
        )


def report(title: str, figures: Figures) -> None:
    """Print the least, the median and the most of each figure, or a dash without a value."""
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for header in ("figure", "min", "median", "max"):
        table.add_column(header, justify="left" if header == "figure" else "right")
    for name, (values, style) in figures.items():
        ends = (min(values), median(values), max(values)) if values else ()
        table.add_row(name, *([format(value, style) for value in ends] or [UNKNOWN] * 3))
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
