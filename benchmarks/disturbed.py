"""`make bench-disturbed`: what poison, copies, late readings and a kill cost of the drain rate.

Five drains a round, each with a backlog of its own, of readings that are otherwise alike: a clean
one; one with 1 % of poison; one of which 10 % of the readings are sent twice (a quarter of the
copies in other words, a few of these of 64 KiB); one of which 10 % come late, overtaken by up to 30
newer ones of their device; and a clean one again, with the replica killed (-9) when half of it is
stored and started again at once, under the same instance id. All their rates are messages by
seconds until the last of them is stored; copies are messages too.

A drain takes seconds, not a minute, so one kill in it weighs more than one a minute. What a kill
costs does not depend on the length: the start of the process, joining, and the batches that were
in memory. It is the time of the killed drain less that of the clean one, and a kill a minute leaves
(60 s - that) / 60 s of the rate. With 15 million messages or so the drain itself takes a minute,
and its own ratio, which is printed too, is that of a kill a minute.
"""

from typing import Annotated

import typer
from rich.progress import track

from benchmarks import history
from benchmarks.backlog import preload
from benchmarks.drain import Drain, Figures, console, drain, report
from benchmarks.servers import servers

HALFWAY = 0.5
MINUTE_S = 60.0
CLEAN = "clean"
KILLED = "one kill"
OPTIONS = {
    CLEAN: (),
    "1% poison": ("--malformed", "0.01"),
    "10% duplicates": ("--duplicates", "0.1"),
    "10% late": ("--late", "0.1"),
    KILLED: (),
}
"""Those of the simulator, by the kind of drain."""


def main(
    messages: Annotated[int, typer.Option(min=20_000, help="messages of each backlog")] = 2_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="rounds of five drains each")] = 3,
    record: Annotated[
        bool, typer.Option("--record", help="add the figures to docs/benchmarks/disturbed.jsonl")
    ] = False,
) -> None:
    """Drain a clean backlog, three disturbed ones, and a clean one with a kill, in turn."""
    drains: dict[str, list[Drain]] = {kind: [] for kind in OPTIONS}
    with servers(purge=True) as addresses:
        for number in track(range(rounds), "measuring", console=console):
            for kind in order(number):
                # A backlog of its own: a replica goes on into what was sent after it.
                backlog = preload(addresses, messages, "--no-ledger", "--quiet", *OPTIONS[kind])
                kill_at = HALFWAY if kind == KILLED else None
                drains[kind].append(drain(addresses, backlog, kill_at=kill_at))
    figures = figures_of(drains)
    report(f"{drains[CLEAN][0].messages:,} messages, {rounds} rounds", figures)
    if record:
        spreads = {name: history.spread(values) for name, (values, _) in figures.items()}
        history.record("disturbed", {"messages": messages, "rounds": rounds, **spreads})


def order(number: int) -> list[str]:
    """Return the kinds in another order each round: vacuum of one drain runs on into the next."""
    kinds = list(OPTIONS)
    turned = kinds[number % len(kinds) :] + kinds[: number % len(kinds)]
    return turned[::-1] if number % 2 else turned


def figures_of(drains: dict[str, list[Drain]]) -> Figures:
    """Return rates, their ratios within a round, and what a kill costs."""
    rates = {kind: [one.rate for one in of_kind] for kind, of_kind in drains.items()}
    ratios = {
        kind: [rate / clean for rate, clean in zip(of_kind, rates[CLEAN], strict=True)]
        for kind, of_kind in rates.items()
        if kind != CLEAN
    }
    pairs = zip(drains[KILLED], drains[CLEAN], strict=True)
    lost = [killed.seconds - clean.seconds for killed, clean in pairs]
    return {
        **{f"{kind}, messages/s": (of_kind, ",.0f") for kind, of_kind in rates.items()},
        **{f"{kind} / clean": (of_kind, ".2f") for kind, of_kind in ratios.items()},
        "seconds that a kill costs": (lost, ".1f"),
        "a kill a minute / clean": ([1 - seconds / MINUTE_S for seconds in lost], ".2f"),
    }


if __name__ == "__main__":
    typer.run(main)
