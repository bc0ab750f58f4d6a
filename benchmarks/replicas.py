"""`make bench-replicas`: what it costs to share partitions among eight replicas, on one machine.

Drains by one replica and by eight take turns, each into a new database and with a backlog of its
own. The replicas start first and share the partitions; the backlog is there by then, but held back.
The clock runs from its release, when all of them begin at once, until the last message is stored:
starting, joining and rebalancing are not counted. All share the machine with the broker and
PostgreSQL, so that eight are not faster; what is asked is that they are hardly slower.
"""

import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich.progress import track

from benchmarks import history
from benchmarks.backlog import preload
from benchmarks.drain import LOOK_S, Figures, check_stored, console, report
from benchmarks.held_back import held_back
from benchmarks.servers import new_database, servers
from deploy.local.stack import Addresses
from deploy.replica import PATIENCE_S, Replica, ReplicaError

ASSIGNED = "telemetry_assigned_partitions"
ASK_S = 0.2


def main(
    messages: Annotated[int, typer.Option(min=20_000, help="messages of each backlog")] = 2_000_000,
    replicas: Annotated[int, typer.Option(min=2, max=12, help="replicas to compare with one")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="rounds of two drains each")] = 3,
    record: Annotated[
        bool, typer.Option("--record", help="add the figures to docs/benchmarks/replicas.jsonl")
    ] = False,
) -> None:
    """Drain a backlog by one replica and another one by several, in turn."""
    rates: dict[int, list[float]] = {1: [], replicas: []}
    with servers(purge=True) as addresses:
        for number in track(range(rounds), "measuring", console=console):
            # The other one first each time: vacuum and checkpoints of one drain run on.
            for count in (1, replicas) if number % 2 == 0 else (replicas, 1):
                rates[count].append(drain_by(addresses, count, messages))
    figures: Figures = {
        "one replica, messages/s": (rates[1], ",.0f"),
        f"{replicas} replicas, messages/s": (rates[replicas], ",.0f"),
        f"{replicas} replicas / one": (
            [several / one for one, several in zip(rates[1], rates[replicas], strict=True)],
            ".2f",
        ),
    }
    report(f"{messages:,} messages, {rounds} rounds", figures)
    if record:
        spreads = {name: history.spread(values) for name, (values, _) in figures.items()}
        history.record("replicas", {"messages": messages, "rounds": rounds, **spreads})


def drain_by(addresses: Addresses, count: int, messages: int) -> float:
    """Let this many replicas store a backlog in a new database; return messages/s.

    Raises ReplicaError; ends the program if something else than the backlog is stored.
    """
    group = f"bench-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        held = stack.enter_context(
            held_back(addresses, lambda: preload(addresses, messages, "--no-ledger", "--quiet"))
        )
        url = stack.enter_context(new_database(addresses))
        onlooker = stack.enter_context(psycopg.connect(url, autocommit=True))
        held.give_to(group, onlooker)
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": addresses.kafka_bootstrap_servers,
            "DATABASE_URL": url,
            "CONSUMER_GROUP": group,
        }
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        started: list[Replica] = []
        stack.callback(stop, started)
        started.extend(
            Replica(environment, log_file=folder / f"replica-{number}.log")
            for number in range(count)
        )
        wait_until_shared(started, partitions=len(held.backlog.ends))
        onlooker.execute("CHECKPOINT")
        begun = time.perf_counter()
        held.release()
        while held.backlog.left(group, onlooker) > 0:
            for replica in started:
                if replica.process.poll() is not None:
                    replica.wait_for("the end of the backlog")  # raises, with its last line
            time.sleep(LOOK_S)
        seconds = time.perf_counter() - begun
        check_stored(onlooker, held.backlog, group)
    return len(held.backlog) / seconds


def wait_until_shared(replicas: Sequence[Replica], *, partitions: int) -> None:
    """Wait until the replicas have opened all partitions, each its share; raises ReplicaError."""
    least = partitions // len(replicas)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        shares = [int(replica.metric(ASSIGNED)) for replica in replicas]
        if sum(shares) == partitions and min(shares) >= least:
            return
        if time.monotonic() > deadline:
            raise ReplicaError(f"the group is not complete; partitions by replica: {shares}")
        time.sleep(ASK_S)


def stop(replicas: Sequence[Replica]) -> None:
    """Ask all of them to end, and wait until they have."""
    for replica in replicas:
        replica.process.terminate()
    for replica in replicas:
        replica.wait()


if __name__ == "__main__":
    typer.run(main)
