"""`make faults`: provoke faults on real servers, and compare what is stored with what was sent."""

import os
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tests.faults import scenarios  # noqa: F401  registers them
from tests.faults.bench import Result, run_scenario, table_of
from tests.faults.scenario import SCENARIOS, Scenario
from tests.faults.servers import Servers

FAILED, WRONG_USE = 1, 2

console = Console(highlight=False, width=180 if not sys.stdout.isatty() else None)


def main(
    names: Annotated[
        list[str] | None, typer.Argument(help="only these scenarios", show_default=False)
    ] = None,
    *,
    short: Annotated[bool, typer.Option(help="the form that the tests run")] = False,
    cycles: Annotated[
        int | None,
        typer.Option(min=1, envvar="CYCLES", help="random kills; of named scenarios, all cycles"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="repeats the choices of a run", show_default=False)
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="name the scenarios and stop")] = False,
) -> None:
    """Provoke faults, each scenario in a group and a database of its own, and check by value.

    Exit codes: 0 no violation, 1 a violation, or a scenario that this machine could not run while
    CI is set, 2 wrong use.
    """
    if show:
        for scenario in SCENARIOS.values():
            console.print(f"{scenario.name:<32} {scenario.about}")
        return
    if unknown := set(names or ()) - SCENARIOS.keys():
        console.print(f"error: no scenario is named {', '.join(sorted(unknown))}; see --list")
        raise typer.Exit(WRONG_USE)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    results = []
    with tempfile.TemporaryDirectory(prefix="wattline-faults-") as folder:
        with Servers(Path(folder)) as servers:
            for scenario in SCENARIOS.values():
                count = _cycles(scenario, names or [], short=short, cycles=cycles)
                if count:
                    results.append(_run(scenario, servers, cycles=count, seed=seed))
        _keep(Path(folder), results)
    console.print(table_of(results))
    left_out = [result for result in results if result.left_out]
    broken = any(result.violations for result in results) or (left_out and "CI" in os.environ)
    raise typer.Exit(FAILED if broken else 0)


def _cycles(scenario: Scenario, names: list[str], *, short: bool, cycles: int | None) -> int:
    usual = scenario.short if short else scenario.long
    if names:
        return (cycles or usual or scenario.long) if scenario.name in names else 0
    return (cycles or usual) if scenario.name == "killed_at_random" else usual


def _run(scenario: Scenario, servers: Servers, *, cycles: int, seed: int) -> Result:
    console.print(f"{scenario.name}: {scenario.about} ({cycles} cycles, seed {seed})")
    with console.status("provoking it"):
        result = run_scenario(scenario, servers, cycles=cycles, seed=seed)
    for line in result.remarks:
        console.print(f"  {line}", markup=False)
    for line in result.violations:
        console.print(f"  violation: {line}", markup=False)
    console.print(f"  {_verdict(result)} after {result.seconds:.0f} s", markup=False)
    return result


def _verdict(result: Result) -> str:
    if result.left_out:
        return f"left out: {result.left_out},"
    return f"{len(result.violations)} violations" if result.violations else "held"


def _keep(folder: Path, results: list[Result]) -> None:
    """Move the logs of violations out of the folder that is about to be removed."""
    if any(result.violations for result in results):
        kept = Path(tempfile.mkdtemp(prefix="wattline-violations-"))
        (folder / "scenarios").rename(kept / "scenarios")
        console.print(f"logs, ledgers and witnesses: {kept}")


if __name__ == "__main__":
    typer.run(main)
