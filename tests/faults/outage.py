"""An outage of PostgreSQL, and what replicas do in it: they wait, and continue soon after."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from deploy.replica import Replica
from tests.faults.world import World

OUTAGE_S = 3.0
# Above the longest pauses by far, for a machine that is busy; how long it took is in the table.
_RESUMED_IN_S = 15.0
PATIENCE_S = 60.0


def _expect_patience(world: World, replicas: Sequence[Replica], *, opened: Sequence[int]) -> None:
    """Expect no rebalance, and no dead letters but the ones sent; the judge expects no exit."""
    for replica, before in zip(replicas, opened, strict=True):
        after = len(replica.events("partitions_opened"))
        world.expect(after == before, "a replica lost its partitions")


@contextlib.contextmanager
def outage(world: World, replicas: Sequence[Replica], *, noticed: bool = True) -> Iterator[None]:
    """Let the block begin the fault; after it, expect everything to continue soon."""
    opened = [len(replica.events("partitions_opened")) for replica in replicas]
    yield
    over = time.monotonic()
    seconds = world.recovered(since=over)
    if noticed:
        world.expect(
            seconds <= _RESUMED_IN_S, f"consuming again only {seconds:.1f} s after the fault"
        )
    _expect_patience(world, replicas, opened=opened)
    world.cycles += 1


def wait_for_cause(world: World, replicas: Sequence[Replica], cause: str) -> None:
    """Wait until a replica counts retries for this cause."""
    series = f'telemetry_flush_retries_total{{cause="{cause}"'
    deadline = time.monotonic() + PATIENCE_S
    while not any(replica.metric(series) for replica in replicas):
        if time.monotonic() > deadline:
            world.violations.append(f"no flush was retried because of {cause}")
            return
        time.sleep(0.1)


def until(world: World, condition: Callable[[], bool], otherwise: str) -> None:
    """Return once the condition holds; note a violation if it does not in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            world.violations.append(otherwise)
            return
        time.sleep(0.01)
