"""`make attack`: attack real processes on loopback, and report the result of each attack."""

import resource
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.replica import ROOT, ReplicaError
from tests.attack import attacks  # noqa: F401  registers them
from tests.attack.attack import ATTACKS
from tests.attack.bench import PAIRS, PAIRS_BRIEF, fleet_of, nothing, run_attack
from tests.attack.result import Result, is_as_before, read, write
from tests.attack.site import Site
from tests.attack.table import table_of

BROKEN, WRONG_USE = 1, 2

console = Console(highlight=False, width=200 if not sys.stdout.isatty() else None)


def main(
    names: Annotated[
        list[str] | None, typer.Argument(help="only these attacks", show_default=False)
    ] = None,
    *,
    short: Annotated[bool, typer.Option("--short", help="the form that takes seconds")] = False,
    checkout: Annotated[
        Path, typer.Option(help="the tree that is attacked", exists=True, file_okay=False)
    ] = ROOT,
    out: Annotated[
        Path | None, typer.Option(help="keep the figures here, as JSON", show_default=False)
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(help="print these earlier figures beside them", exists=True),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="name the attacks and stop")] = False,
) -> None:
    """Attack an API and a replica, and judge the results; new ones are started after harm.

    Exit codes: 0 all held, 1 an attack broke something or was over an aim, 2 wrong use.
    """
    if show:
        for attack in ATTACKS.values():
            console.print(f"{attack.name:<26} {attack.who:<15} {attack.about}")
        return
    if unknown := set(names or ()) - ATTACKS.keys():
        console.print(f"error: no attack is named {', '.join(sorted(unknown))}; see --list")
        raise typer.Exit(WRONG_USE)
    try:
        earlier = {} if beside is None else read(beside)
    except (ValueError, KeyError, TypeError) as error:
        console.print(f"error: {beside} holds no figures of this bench")
        raise typer.Exit(WRONG_USE) from error
    results = _run(names or list(ATTACKS), checkout.resolve(), short=short)
    console.print(table_of(results, earlier))
    if out is not None:
        write(out, results)
    raise typer.Exit(0 if all(one.held for one in results) else BROKEN)


def _run(names: list[str], code: Path, *, short: bool) -> list[Result]:
    # The bench holds more connections than a victim may have.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="wattline-attack-") as place:
        folder = Path(place)
        pairs = PAIRS_BRIEF if short else PAIRS
        with fleet_of(folder, code=code, pairs=pairs) as (servers, fleet):
            while len(results) <= len(names):
                with Site(servers, fleet, folder=folder, code=code, brief=short) as site:
                    _attack(site, names, results)
        if any(one.faults for one in results):
            kept = Path(tempfile.mkdtemp(prefix="wattline-attacked-"))
            for file in folder.glob("attack_*"):
                file.rename(kept / file.name)
            console.print(f"logs: {kept}")
    return results


def _attack(site: Site, names: list[str], results: list[Result]) -> None:
    """Attack a site for as long as that leaves it as it was; the first look is at an idle one."""
    while len(results) <= len(names):
        if not results:
            results.append(nothing(site))
        else:
            name = names[len(results) - 1]
            with console.status(name):
                results.append(run_attack(ATTACKS[name], site, idle=results[0].seen))
        _tell(results[-1])
        if not is_as_before(results[-1]):
            return


def _tell(result: Result) -> None:
    console.print(f"{result.name}: {'held' if result.held else 'not held'}, {result.seconds:.1f} s")
    for line in result.remarks:
        console.print(f"  {line}", markup=False)
    for line in result.faults:
        console.print(f"  broke: {line}", markup=False)
    for line in result.missed:
        console.print(f"  late: {line}", markup=False)


if __name__ == "__main__":
    # SIGTERM ends the servers, too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        typer.run(main)
    except ReplicaError as error:
        console.print(f"error: {error}")
        sys.exit(BROKEN)
