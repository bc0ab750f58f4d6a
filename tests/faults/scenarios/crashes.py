"""Replicas that die, and replicas that are suspended and wake up."""

import os
import shutil
import signal
import time
from datetime import UTC, datetime, timedelta

from psycopg import sql

from deploy.replica import Replica
from telemetry.streams import STREAMS
from tests.faults.failpoints import POINTS, Trap
from tests.faults.scenario import LeftOut, scenario
from tests.faults.world import World

_COPY_BYTES = 20_000
_CALLS_TO_START = 15
_IN_DDL = {"partition_attaching", "partition_attached"}
_IN_REVOKE = {"revoking", "revoked"}
_IN_DRAIN = {"draining", "drained"}
_ONCE_A_SECOND = {"offset_committing", "offset_committed"}
_MOST_TELLING = {"begun", "copying"}
"""A batch not yet begun, which the fence must refuse; and a lock that no timeout frees."""


@scenario(short=1, long=5)
def killed_at_every_point(world: World, cycles: int) -> None:
    """kill -9 at every step of a batch, in the revoke callback, in DDL, in the drain."""
    world.start_replica("other").wait_for("partitions_opened")
    doomed = world.start_replica("doomed")
    doomed.wait_for("partitions_opened")
    world.begin_flow()
    for _ in range(cycles):
        for point in POINTS:
            doomed = _kill_at(world, point, doomed)


def _kill_at(world: World, point: str, doomed: Replica) -> Replica:
    """Set a trap, bring about what leads there, and return what takes the dead replica's place."""
    trap = Trap(
        point,
        times=world.chance.randint(1, _most_passes(point)),
        byte=world.chance.randrange(_COPY_BYTES),
    )
    if point in _IN_DDL:  # at its start it makes the days that are missing
        world.kill(doomed)
        _remove_last_day(world)
        doomed = world.start_replica("doomed", trap=trap)
    else:
        world.arm(doomed, trap)
    if point in _IN_REVOKE:
        third = world.start_replica()
        third.wait_for("partitions_opened")
        world.stop(third)
    if point in _IN_DRAIN:
        doomed.process.terminate()
    world.expect(world.wait_until_sprung(doomed), f"{point} was never passed")
    world.cycles += 1
    return _replace(world)


def _most_passes(point: str) -> int:
    """Return how often a point may be passed before its trap springs."""
    if point in _IN_DDL | _IN_REVOKE | _IN_DRAIN:
        return 1
    return 2 if point in _ONCE_A_SECOND else 8


def _replace(world: World) -> Replica:
    """Start what takes the dead replica's place; it has to consume within a few seconds."""
    died = time.monotonic()
    successor = world.start_replica("doomed")
    world.recovered(since=died)
    successor.wait_for("partitions_opened")  # others may have been quicker
    return successor


def _remove_last_day(world: World) -> None:
    """Leave a partition for the maintainer to make."""
    last = datetime.now(UTC).date() + timedelta(days=7)
    with world.session() as session:
        for stream in STREAMS:
            name = sql.Identifier(f"{stream.history}_{last:%Y%m%d}")
            session.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))


@scenario(short=4, long=200)
def killed_at_random(world: World, cycles: int) -> None:
    """kill -9 of one of two replicas at any moment, again and again."""
    names = ["one", "two"]
    replicas = {name: world.start_replica(name) for name in names}
    for replica in replicas.values():
        replica.wait_for("partitions_opened")
    world.begin_flow()
    for _ in range(cycles):
        world.progress.wait_for_more(world.chance.randrange(1, 1_000))
        time.sleep(world.chance.random() / 10)  # anywhere in the work, not just after a commit
        name = world.chance.choice(names)
        world.kill(replicas[name])
        died = time.monotonic()
        replicas[name] = world.start_replica(name)
        world.recovered(since=died)
        world.cycles += 1


@scenario(short=0, long=60)
def killed_at_every_send(world: World, cycles: int) -> None:
    """kill -9 at the first, second, third … call that sends something to PostgreSQL."""
    if shutil.which("strace") is None:
        raise LeftOut("strace is not installed; on Debian: apt-get install strace")
    world.start_replica("other").wait_for("partitions_opened")
    world.begin_flow()
    for number in range(1, cycles + 1):
        # libpq sends by sendto(2), and nothing else in a replica does.
        inject = f"inject=sendto:signal=KILL:when={number}"
        strace = ["strace", "-f", "-qq", "-o", os.devnull]
        doomed = world.start_replica("doomed", under=[*strace, "-e", "trace=sendto", "-e", inject])
        world.expect(world.wait_until_sprung(doomed), f"there was no call {number}")
        world.cycles += 1
        if number % _CALLS_TO_START == 0:
            world.kill(_replace(world))


@scenario(short=2, long=24, watched=False)
def suspended_at_a_point(world: World, cycles: int) -> None:
    """SIGSTOP in the middle of a batch until another replica has taken over, then SIGCONT."""
    world.start_replica().wait_for("partitions_opened")
    world.begin_flow()
    points = [name for name in POINTS if name not in _IN_DDL | _IN_REVOKE | _IN_DRAIN]
    points.sort(key=lambda name: name not in _MOST_TELLING)
    for cycle in range(cycles):
        _suspend_at(world, points[cycle % len(points)])


def _suspend_at(world: World, point: str) -> None:
    trap = Trap(point, "stop", world.chance.randint(1, 4), world.chance.randrange(_COPY_BYTES))
    zombie = world.start_replica(trap=trap)
    world.expect(world.suspended(zombie), f"{point} was never passed")
    # The group misses it after the session's timeout; whatever it has locked is to be freed.
    takeover = world.recovered(since=time.monotonic())
    world.remarks.append(f"suspended at {point}: taken over in {takeover:.1f} s")
    woken = time.monotonic()
    zombie.process.send_signal(signal.SIGCONT)
    world.progress.wait_for_all(since=woken)
    world.stop(zombie)  # in order, so that the group forgets it at once
    world.cycles += 1
