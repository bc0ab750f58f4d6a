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
_DOOMED = ("one", "two")
_CALLS_TO_START = 15
_IN_DDL = {"day_making", "day_made"}
_IN_REVOKE = {"revoking", "revoked"}
_IN_DRAIN = {"draining", "drained"}
_ONCE_A_SECOND = {"offset_committing", "offset_committed"}
_MOST_TELLING = {"begun", "copying"}
"""A batch not yet begun, which the fence must refuse; and a lock that no timeout frees."""


@scenario(short=1, long=5)
def killed_at_every_point(world: World, cycles: int) -> None:
    """kill -9 at every step of a batch, in the revoke callback, in DDL, in the drain."""
    world.start_replica("other").wait_for("partitions_opened")
    doomed = [world.start_replica(name) for name in _DOOMED]
    for replica in doomed:
        replica.wait_for("partitions_opened")
    world.begin_flow()
    for _ in range(cycles):
        for points in _in_pairs():
            doomed = _kill_at(world, points, doomed)


def _in_pairs() -> list[tuple[str, str]]:
    """Return all points, two together that need the same to be passed; an odd one comes twice."""
    special = _IN_REVOKE | _IN_DDL | _IN_DRAIN
    pairs: list[tuple[str, str]] = []
    for wanted in (POINTS.keys() - special, _IN_REVOKE, _IN_DDL, _IN_DRAIN):
        points = [point for point in POINTS if point in wanted]
        points += points[: len(points) % 2]
        pairs += zip(points[::2], points[1::2], strict=True)
    return pairs


def _kill_at(world: World, points: tuple[str, str], doomed: list[Replica]) -> list[Replica]:
    """Set a trap for each replica, bring about what leads there, and return their successors."""
    traps = [
        Trap(
            point,
            times=world.chance.randint(1, _most_passes(point)),
            byte=world.chance.randrange(_COPY_BYTES),
        )
        for point in points
    ]
    if _IN_DDL.issuperset(points):  # at its start a replica makes the days that are missing
        for replica in doomed:
            world.kill(replica)
        _remove_last_day(world)
        doomed = [
            world.start_replica(name, trap=trap) for name, trap in zip(_DOOMED, traps, strict=True)
        ]
    else:
        for replica, trap in zip(doomed, traps, strict=True):
            world.arm(replica, trap)
    if _IN_REVOKE.issuperset(points):
        third = world.start_replica()
        third.wait_for("partitions_opened")
        world.stop(third)
    if _IN_DRAIN.issuperset(points):
        for replica in doomed:
            replica.process.terminate()
    for replica, point in zip(doomed, points, strict=True):
        world.expect(world.wait_until_sprung(replica), f"{point} was never passed")
        world.cycles += 1
    return _replace(world, *_DOOMED)


def _most_passes(point: str) -> int:
    """Return how often a point may be passed before its trap springs."""
    if point in _IN_DDL | _IN_REVOKE | _IN_DRAIN:
        return 1
    return 2 if point in _ONCE_A_SECOND else 8


def _replace(world: World, *names: str) -> list[Replica]:
    """Start what takes the dead replicas' places; they have to consume within a few seconds."""
    died = time.monotonic()
    successors = [world.start_replica(name) for name in names]
    world.recovered(since=died)
    for replica in successors:
        replica.wait_for("partitions_opened")  # others may have been quicker
    return successors


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
            world.kill(_replace(world, "doomed")[0])


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
