"""Runs scenarios one after the other, each in a world of its own, and says what became of them."""

import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from rich import box
from rich.table import Table

from deploy.replica import ROOT
from tests.faults.scenario import LeftOut, Scenario
from tests.faults.servers import Servers
from tests.faults.world import World


@dataclass
class Result:
    """What a scenario came to; `left_out` says what was missing to run it."""

    name: str
    seed: int
    cycles: int = 0
    messages: int = 0
    violations: list[str] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    redone: int = 0
    looks: int = 0
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0
    left_out: str = ""


def run_scenario(
    scenario: Scenario,
    servers: Servers,
    *,
    cycles: int,
    seed: int,
    code: Path = ROOT,
    keep: Callable[[Result], bool] = lambda result: bool(result.violations),
) -> Result:
    """Provoke the fault and check every invariant; whatever goes wrong is a violation.

    If there is one, the scenario's folder is kept, with all logs and the ledger.
    """
    result = Result(scenario.name, seed)
    folder = servers.folder / "scenarios" / f"{scenario.name}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    begun = time.monotonic()
    settings = dict(scenario.settings)
    if settings.pop("cluster", False):
        settings["kafka"] = servers.cluster
    try:
        with World(
            servers, folder=folder, seed=seed, code=code, flow=scenario.flow, **settings
        ) as world:
            try:
                scenario.run(world, cycles)
                world.judge()
            except LeftOut:
                raise
            except Exception as error:  # noqa: BLE001  a scenario that does not end well is a find
                (folder / "traceback.txt").write_text(traceback.format_exc())
                world.violations.append(f"{type(error).__name__}: {error}")
            result.cycles = world.cycles
            result.messages = world.messages
            result.violations = world.violations
            result.recoveries = world.recoveries
            result.remarks = world.remarks
            result.redone = world.testimony.redone
            result.looks = world.reader.looks
    except LeftOut as reason:
        result.left_out = str(reason)
    result.seconds = time.monotonic() - begun
    if not keep(result):
        shutil.rmtree(folder, ignore_errors=True)
    return result


def table_of(results: list[Result]) -> Table:
    """Return the results as a table for people."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("scenario")
    for header in (
        "cycles",
        "violations",
        "recovery worst, s",
        "median, s",
        "messages redone",
        "messages",
        "reader's looks",
        "took, s",
        "seed",
    ):
        table.add_column(header, justify="right")
    for result in results:
        worst = f"{max(result.recoveries):.1f}" if result.recoveries else ""
        middle = f"{median(result.recoveries):.1f}" if result.recoveries else ""
        table.add_row(
            result.name,
            "left out" if result.left_out else str(result.cycles),
            str(len(result.violations)),
            worst,
            middle,
            f"{result.redone:,}",
            f"{result.messages:,}",
            str(result.looks),
            f"{result.seconds:.0f}",
            str(result.seed),
        )
    return table
