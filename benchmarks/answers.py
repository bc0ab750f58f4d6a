"""How fast the API answers over days of history while ingestion goes on, and takes readings in.

Loads a database with days of 10,000 meters and 10,000 vehicles, starts a replica, the API and the
simulator at its nominal load, and lets wrk ask. What is asked for is in the table; the speeds
depend on the machine, which has to hold the broker, PostgreSQL and wrk as well.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.backlog import Backlog, read_ends
from benchmarks.servers import new_database, servers
from benchmarks.stored_days import DEVICES, REGISTERS, SHARED, load_days
from deploy.local.stack import Addresses
from deploy.replica import ROOT, Replica, ReplicaError

SCRIPT = Path(__file__).with_name("requests.lua")
BATCH = 1_000
ACCEPTED = 'telemetry_gateway_readings_total{outcome="accepted"'

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, over how many connections, each with a pause; and what is hoped for, in ms."""

    name: str
    kind: str
    connections: int
    pause_ms: int
    most_ms: float | None


QUESTIONS = (
    Question("current state", "state", 1, 5, 2),
    Question("performance, 24 h", "performance", 1, 20, 15),
    Question("fleet, 24 h", "fleet", 1, 0, 100),
    Question("anomalies, 24 h", "anomalies", 1, 0, 100),
    Question("a reading, at 300/s", "reading", 30, 95, 50),
)


@dataclass(frozen=True, slots=True)
class Answers:
    """What wrk counted: latencies in ms."""

    requests: int
    seconds: float
    p50: float
    p99: float
    most: float


def main(
    days: Annotated[int, typer.Option(min=1, help="days of history, 28.8 million rows each")] = 3,
    seconds: Annotated[
        int, typer.Option(min=5, help="seconds that each question is asked for")
    ] = 20,
) -> None:
    """Load history, ask while ingestion goes on, and print latencies beside what is asked for."""
    if shutil.which("wrk") is None:
        typer.echo("error: wrk is missing; on Debian: apt-get install wrk", err=True)
        raise typer.Exit(1)
    fleet = f"bench{uuid.uuid4().hex[:6]}"
    with servers() as addresses, new_database(addresses) as url:
        begun = time.monotonic()
        with Progress(console=console) as progress:
            rows = load_days(url, fleet=fleet, days=days, progress=progress)
        console.print(f"{rows:,} rows loaded and rolled up in {time.monotonic() - begun:,.0f} s")
        with running(addresses, url, fleet) as api, psycopg.connect(url) as onlooker:
            table = Table(
                title=f"{rows:,} rows, {DEVICES:,} + {DEVICES:,} devices", box=box.SIMPLE_HEAD
            )
            for header in (
                "question",
                "requests",
                "p50, ms",
                "p99, ms",
                "most, ms",
                "asked: p99, ms",
            ):
                table.add_column(header, justify="left" if header == "question" else "right")
            for question in QUESTIONS:
                got = ask(api, question, fleet, seconds)
                table.add_row(
                    question.name,
                    f"{got.requests:,}",
                    f"{got.p50:.1f}",
                    f"{got.p99:.1f}",
                    f"{got.most:.1f}",
                    f"{question.most_ms:g}",
                )
            taken = api.metric(ACCEPTED)
            batches = ask(api, Question("batches", "batch", 4, 0, None), fleet, seconds)
            rate = (api.metric(ACCEPTED) - taken) / batches.seconds
            console.print(table)
            console.print(
                f"{rate:,.0f} readings/s through batches of {BATCH:,}; asked: 20,000"
                f" (p99 of a batch {batches.p99:.0f} ms)"
            )
            _say_how_it_was(onlooker)


@contextmanager
def running(addresses: Addresses, url: str, fleet: str) -> Iterator[Replica]:
    """Let a replica, the simulator and the API run; yields the API."""
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": addresses.kafka_bootstrap_servers,
        "DATABASE_URL": url,
        "CONSUMER_GROUP": f"bench-{fleet}",
        "KAFKA_GROUP_INSTANCE_ID": fleet,
        "RATE_LIMIT_PER_MINUTE": "0",
    }
    ends = read_ends(addresses)
    with psycopg.connect(url, autocommit=True) as connection:
        # What earlier runs have left in the topics is not for this one.
        Backlog(ends, ends).give_to(environment["CONSUMER_GROUP"], connection)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        replica = Replica(environment, log_file=folder / "replica.log")
        stack.callback(replica.stop)
        api = Replica(environment, log_file=folder / "api.log", command=("-m", "api", "run"))
        stack.callback(api.stop)
        replica.wait_for("partitions_opened")
        # The registers are left out: what they count the simulator does not know.
        load = [
            "run",
            "--fleet",
            fleet,
            "--devices",
            str(DEVICES - REGISTERS),
            "--no-ledger",
            "--quiet",
        ]
        simulator = subprocess.Popen(
            [sys.executable, "-m", "producer_sim", *load], cwd=ROOT, env=os.environ | environment
        )
        stack.callback(simulator.wait)
        stack.callback(simulator.terminate)
        time.sleep(10)
        yield api


def ask(api: Replica, question: Question, fleet: str, seconds: int) -> Answers:
    """Let wrk ask; raises ReplicaError if a request fails."""
    words = [question.kind, fleet, str(DEVICES), str(question.pause_ms), str(BATCH)]
    command = [
        "wrk",
        "--threads=1",
        f"--connections={question.connections}",
        f"--duration={seconds}s",
        "--timeout=30s",
        f"--script={SCRIPT}",
        api.address,
        "--",
        *words,
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    got = json.loads(said.splitlines()[-1])
    if got["failed"] or not got["requests"]:
        raise ReplicaError(f"{question.name}: {got['failed']} of {got['requests']} requests failed")
    return Answers(
        got["requests"],
        got["microseconds"] / 1e6,
        got["p50"] / 1e3,
        got["p99"] / 1e3,
        got["max"] / 1e3,
    )


def _say_how_it_was(onlooker: psycopg.Connection) -> None:
    ((notes, vehicles),) = onlooker.execute(
        "SELECT (SELECT count(*) FROM rollup_due), (SELECT count(*) FROM vehicle_due)"
    )
    console.print(
        f"{REGISTERS:,} pairs are registers, {SHARED:,} vehicles share a meter two by two in"
        f" sessions; {notes} notes and {vehicles:,} vehicles were waiting to be rolled up at the"
        " end: all whose newest hours are not over are among them"
    )


if __name__ == "__main__":
    typer.run(main)
