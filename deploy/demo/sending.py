"""What the demo sends: two days of a real household, then a simulated fleet; and its progress."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.demo.processes import Counted, Processes
from deploy.replica import ROOT
from producer_sim.ledger.ledger import parts
from runtime.terminal import fail

RECORDING = ROOT / "data" / "uci_household_power_2007-02-01_02.csv"
LONGEST_DRAIN_S = 300.0
QUIRKS = 0.2
"""The share of the pairs that behave as real devices do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The devices of a demo, the minutes of their time, and the two ledgers of what they send."""

    name: str
    devices: int
    minutes: int
    chaos: float
    ledgers: Path

    @property
    def recorded(self) -> Path:
        """The ledger of the real household."""
        return self.ledgers / f"{self.name}-recorded"

    @property
    def simulated(self) -> Path:
        """The ledger of the simulated devices."""
        return self.ledgers / f"{self.name}-devices"

    def written(self) -> list[Path]:
        """Return the ledgers that exist."""
        return [ledger for ledger in (self.recorded, self.simulated) if ledger.exists()]


def send(
    fleet: Fleet, processes: Processes, environment: Mapping[str, str], *, console: Console
) -> int:
    """Send everything and wait until it is consumed; return the simulator's exit code."""
    console.print("replaying two days of a real household, moved to end now")
    replay = ["producer_sim", "replay", str(RECORDING), "--shift-to-now", "--quiet"]
    replay += ["--meter-id", f"mtr-{fleet.name}-uci", "--ledger", str(fleet.recorded)]
    command(replay, environment)
    console.print(
        f"{fleet.devices:,} meters and {fleet.devices:,} vehicles are registered, then they send"
        f" {fleet.minutes} minutes of their time at once, {fleet.chaos:.1%} of it faulty on"
        f" purpose, and {QUIRKS:.0%} of the pairs as odd as real ones"
    )
    live = ["producer_sim", "run", "--rate", "max", "--quiet", "--fleet", fleet.name]
    live += ["--devices", str(fleet.devices), "--duration", f"{fleet.minutes}m"]
    live += ["--chaos", str(fleet.chaos), "--world", "--quirks", str(QUIRKS)]
    live += ["--api", processes.api.address]
    simulator = subprocess.Popen(
        [sys.executable, "-m", *live, "--ledger", str(fleet.simulated)],
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    _watch(simulator, processes, fleet, console=console)
    return simulator.wait()


def command(words: Sequence[str], environment: Mapping[str, str], *, quiet: bool = False) -> None:
    """Run `python -m` with these words; if it fails, end this command too."""
    ended = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL if quiet else None,
        check=False,
    )
    if ended.returncode:
        fail(f"`python -m {' '.join(words)}` ended with {ended.returncode}", code=1)


def acknowledged(ledgers: Sequence[Path]) -> int:
    """Return how many messages of the ledgers' written parts the broker has acknowledged."""
    written = [str(part) for ledger in ledgers for part in parts(ledger)]
    if not written:
        return 0
    question = "SELECT count(*) FROM read_parquet(?) WHERE delivery = 'acknowledged'"
    with duckdb.connect() as database:
        row = database.execute(question, [written]).fetchone()
    return int(row[0]) if row else 0


def _watch(
    simulator: subprocess.Popen[bytes],
    processes: Processes,
    fleet: Fleet,
    *,
    console: Console,
) -> None:
    """Show the messages consumed, until all are."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of about {task.total:,.0f}"),
        TimeElapsedColumn(),
    )
    sent: int | None = None
    deadline = math.inf
    consumed = Counted(processes.consumers, "telemetry_messages_total{")  # started for this demo
    with Progress(*columns, console=console) as progress:
        ended = progress.add_task(
            "stored, or set aside with a reason", total=2 * fleet.devices * fleet.minutes
        )
        while time.monotonic() < deadline:
            done = consumed.total()
            progress.update(ended, completed=done)
            if sent is not None and done >= sent:
                return
            if sent is None and simulator.poll() is not None:
                sent = acknowledged(fleet.written())
                progress.update(ended, total=sent)
                deadline = time.monotonic() + LONGEST_DRAIN_S
            time.sleep(0.2)
