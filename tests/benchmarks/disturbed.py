"""`make bench-disturbed`: what 1 % of poison, and a kill a minute, cost of the drain rate.

Three drains in every order: a clean backlog; one of the same length with 1 % of poison; a clean one
again, with the replica killed (-9) when half of it is stored and started again at once, under the
same instance id. All their rates are messages by seconds until the last of them is stored.

A drain takes seconds, not a minute, so one kill in it weighs more than one a minute. What a kill
costs does not depend on the length: the start of the process, joining, and the batches that were
in memory. It is the time of the killed drain less that of the clean one, and a kill a minute leaves
(60 s - that) / 60 s of the rate. With 15 million messages or so the drain itself takes a minute,
and its own ratio, which is printed too, is that of a kill a minute.
"""

from collections import deque
from collections.abc import Callable
from typing import Annotated

import typer
from rich.progress import track

from tests.benchmarks.backlog import preload
from tests.benchmarks.drain import Drain, console, drain, report
from tests.benchmarks.servers import servers

POISON = 0.01
HALFWAY = 0.5
MINUTE_S = 60.0


def main(
    messages: Annotated[int, typer.Option(min=20_000, help="of each backlog")] = 2_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="of three drains each")] = 3,
) -> None:
    """Drain a clean backlog, a poisoned one, and a clean one with a kill, in turn."""
    with servers(purge=True) as addresses:

        def measure(*options: str, kill_at: float | None = None) -> Drain:
            # A backlog of its own: a replica goes on into what was sent after it.
            backlog = preload(addresses, messages, "--no-ledger", "--quiet", *options)
            return drain(addresses, backlog, kill_at=kill_at)

        kinds: dict[str, Callable[[], Drain]] = {
            "clean": measure,
            "poisoned": lambda: measure("--malformed", str(POISON)),
            "killed": lambda: measure(kill_at=HALFWAY),
        }
        drains = []
        for number in track(range(rounds), "measuring", console=console):
            # Another order each time: vacuum and checkpoints of one drain run on into the next.
            order = deque(kinds)
            order.rotate(number)
            done = {kind: kinds[kind]() for kind in order}
            drains.append((done["clean"], done["poisoned"], done["killed"]))
    lost = [killed.seconds - undisturbed.seconds for undisturbed, _, killed in drains]
    report(
        f"{drains[0][0].messages:,} messages, {rounds} rounds",
        {
            "clean, messages/s": ([one.rate for one, _, _ in drains], ",.0f"),
            f"{POISON:.0%} poison, messages/s": ([one.rate for _, one, _ in drains], ",.0f"),
            "one kill, messages/s": ([one.rate for _, _, one in drains], ",.0f"),
            "poison / clean": ([two.rate / one.rate for one, two, _ in drains], ".2f"),
            "one kill in this drain / clean": ([k.rate / c.rate for c, _, k in drains], ".2f"),
            "seconds that a kill costs": (lost, ".1f"),
            "a kill a minute / clean": ([1 - seconds / MINUTE_S for seconds in lost], ".2f"),
        },
    )


if __name__ == "__main__":
    typer.run(main)
