"""Replicas that come and go in order: nothing is redone, and the flow does not stand still."""

import time

from deploy.replica import Replica
from tests.faults.scenario import scenario
from tests.faults.world import World

LONGEST_STAND_S = 15.0


def _start(world: World, count: int) -> list[Replica]:
    replicas = world.begin(replicas=count)
    world.progress.begin_watch()
    return replicas


def _end(world: World) -> None:
    stand = world.progress.longest_stand
    world.remarks.append(f"the longest stand was {stand:.1f} s")
    world.expect(stand < LONGEST_STAND_S, f"nothing was stored for {stand:.1f} s")
    redone = world.testimony.redone
    world.expect(redone == 0, f"{redone} messages were begun twice though no replica died")


@scenario(short=0, long=34)
def rebalance_storm(world: World, cycles: int) -> None:
    """A replica starts or stops every 2 to 5 seconds, for two minutes."""
    replicas = _start(world, 2)
    for _ in range(cycles):
        time.sleep(world.chance.uniform(2, 5))
        if len(replicas) > 1 and (len(replicas) > 4 or world.chance.random() < 0.5):
            world.stop(replicas.pop(world.chance.randrange(len(replicas))))
        else:
            replicas.append(world.start_replica())
        world.cycles += 1
    _end(world)


@scenario(short=0, long=20)
def rolling_restart(world: World, cycles: int) -> None:
    """Each of three replicas is stopped and replaced, over and over."""
    replicas = _start(world, 3)
    for _ in range(cycles):
        for place in range(len(replicas)):
            begun = time.monotonic()
            world.stop(replicas[place])
            world.recoveries.append(time.monotonic() - begun)
            replicas[place] = world.start_replica()
            replicas[place].wait_for("partitions_opened")
        world.cycles += 1
    _end(world)


@scenario(short=0, long=1)
def scaled_up_and_down(world: World, cycles: int) -> None:
    """From one replica to eight, and back to one."""
    for _ in range(cycles):
        replicas = world.replicas or _start(world, 1)
        while len(replicas) < 8:
            replicas.append(world.start_replica())
            replicas[-1].wait_for("partitions_opened")
        while len(replicas) > 1:
            world.stop(replicas.pop())
        world.recovered(since=time.monotonic())
        world.cycles += 1
    _end(world)
