"""`make gameday`: break one thing on real servers, show what an operator sees, and mend it."""

import random
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.local.errors import ServerError
from deploy.replica import ReplicaError
from tests.faults.servers import Servers
from tests.gameday.breakages import BREAKAGES
from tests.gameday.day import Day, run_day
from tests.gameday.prometheus import NoPrometheus, longest_wait
from tests.gameday.scene import Scene

FAILED, WRONG_USE = 1, 2

console = Console(highlight=False, soft_wrap=True, markup=False)


def main(
    *,
    only: Annotated[
        list[str] | None, typer.Option(help="choose among these breakages", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="repeats a choice", show_default=False)
    ] = None,
    faster: Annotated[int, typer.Option(min=1, help="divide the times of all alerts by this")] = 10,
    hold: Annotated[
        int, typer.Option(min=0, help="seconds for people, from the alert until it is mended")
    ] = 0,
    reveal: Annotated[bool, typer.Option("--reveal", help="say at once what breaks")] = False,
    show: Annotated[bool, typer.Option("--list", help="name what may break and stop")] = False,
) -> None:
    """Break one thing at random. What it was is said at the end.

    Exit codes: 0 the alert came, all cleared and every reading is right; 1 not so; 2 wrong use, or
    Prometheus is not installed.
    """
    if show:
        for one in BREAKAGES.values():
            console.print(f"{one.name:<24} {one.alert:<22} {one.about}")
        return
    if unknown := set(only or ()) - BREAKAGES.keys():
        console.print(f"error: no breakage is named {', '.join(sorted(unknown))}; see --list")
        raise typer.Exit(WRONG_USE)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    breakage = BREAKAGES[random.Random(seed).choice(only or list(BREAKAGES))]
    console.print(f"seed {seed}; the alerts' times are divided by {faster}")
    if reveal:
        console.print(f"to be broken: {breakage.about}")
    console.print("Servers, two replicas, an API and Prometheus are started.")
    folder = Path(tempfile.mkdtemp(prefix="wattline-gameday-"))
    try:
        with Servers(folder) as servers:
            servers.start_both()
            with Scene(servers, folder=folder / "day", seed=seed, factor=faster) as scene:
                day = run_day(
                    scene,
                    breakage,
                    alert_s=longest_wait(breakage.alert, faster),
                    hold_s=hold,
                    say=console.print,
                )
    except NoPrometheus as error:
        console.print(f"error: {error}")
        raise typer.Exit(WRONG_USE) from None
    except (ReplicaError, ServerError) as error:
        console.print(f"error: {error}; logs: {folder}")
        raise typer.Exit(FAILED) from None
    _report(day, folder)
    console.print(f"What broke: {breakage.about} ({breakage.name}, alert {breakage.alert})")
    raise typer.Exit(FAILED if day.found else 0)


def _report(day: Day, folder: Path) -> None:
    if day.alert_after_s is not None:
        console.print(f"The alert came after {day.alert_after_s:.0f} s.")
    if day.cleared_after_s is not None:
        console.print(f"All was well {day.cleared_after_s:.0f} s after it was mended.")
    for line in day.found:
        console.print(f"not as it should be: {line}")
    if day.found:
        console.print(f"logs and ledgers: {folder / 'day'}")
    else:
        console.print("Every reading is stored as it was sent: verify is clean.")
        shutil.rmtree(folder)


if __name__ == "__main__":
    typer.run(main)
