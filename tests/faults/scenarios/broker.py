"""Kafka that dies, restarts, stalls or cannot be reached, and offsets that do not fit it."""

import os
import signal
import subprocess
import sys
import time

from telemetry.streams import METER
from tests.faults.scenario import scenario
from tests.faults.servers import Broker
from tests.faults.world import World

OUTAGE_S = 5.0


@scenario(short=0, long=3)
def broker_killed(world: World, cycles: int) -> None:
    """kill -9 of the only broker, and a start with its log recovered."""
    world.begin()
    assert world.kafka is not None
    for _ in range(cycles):
        world.kafka.only.end(signal.SIGKILL)
        world.kafka.only.start()
        world.recovered(since=time.monotonic())
        world.cycles += 1


@scenario(short=0, long=3, cluster=True)
def brokers_restarted_in_turn(world: World, cycles: int) -> None:
    """A rolling restart of three brokers: leaders and the coordinator move."""
    world.begin()
    assert world.kafka is not None
    for _ in range(cycles):
        for broker in world.kafka.brokers:
            broker.end(signal.SIGTERM)
            _rejoin(world, broker)


@scenario(short=0, long=3, cluster=True)
def leader_killed(world: World, cycles: int) -> None:
    """kill -9 of one of three brokers, which leads a third of the partitions."""
    world.begin()
    assert world.kafka is not None
    for _ in range(cycles):
        broker = world.chance.choice(world.kafka.brokers)
        broker.end(signal.SIGKILL)
        _rejoin(world, broker)


def _rejoin(world: World, broker: Broker) -> None:
    """Wait until every partition moves on without the broker, then start the broker."""
    world.recovered(since=time.monotonic())
    broker.start(brokers=3)
    world.progress.wait_for_all(since=time.monotonic())
    world.cycles += 1


@scenario(short=0, long=3, cluster=True)
def broker_suspended(world: World, cycles: int) -> None:
    """SIGSTOP of one of three brokers, until the others have taken over, then SIGCONT."""
    world.begin()
    assert world.kafka is not None
    for _ in range(cycles):
        world.chance.choice(world.kafka.brokers).suspend(2 * OUTAGE_S)
        world.recovered(since=time.monotonic())
        world.cycles += 1


@scenario(short=1, long=10, proxied=True)
def kafka_cut(world: World, cycles: int) -> None:
    """Every connection between the replicas and Kafka is reset, at any byte."""
    world.begin()
    assert world.kafka is not None
    assert world.kafka.proxy is not None
    proxy = world.kafka.proxy
    for _ in range(cycles):
        proxy.faults.reset_after["down"] = world.chance.randrange(100_000)
        while "down" in proxy.faults.reset_after:
            time.sleep(0.01)
        proxy.cut()
        time.sleep(1)
        proxy.open()
        world.recovered(since=time.monotonic())
        world.cycles += 1


@scenario(short=0, long=4, proxied=True)
def kafka_silent(world: World, cycles: int) -> None:
    """Nothing arrives from Kafka, or nothing reaches it, for longer than the session lasts."""
    world.begin()
    assert world.kafka is not None
    assert world.kafka.proxy is not None
    proxy = world.kafka.proxy
    for cycle in range(cycles):
        proxy.faults.silent = frozenset({("up", "down")[cycle % 2]})
        time.sleep(OUTAGE_S)
        proxy.faults.silent = frozenset()
        world.recovered(since=time.monotonic())
        world.cycles += 1


@scenario(short=0, long=1, proxied=True)
def kafka_slow(world: World, cycles: int) -> None:
    """20 ms to Kafka in each direction: everything continues."""
    world.begin()
    assert world.kafka is not None
    assert world.kafka.proxy is not None
    for _ in range(cycles):
        world.kafka.proxy.faults.latency = 0.02
        world.progress.wait_for_more(10_000)
        world.kafka.proxy.faults.latency = 0.0
        world.recovered(since=time.monotonic())
        world.cycles += 1


@scenario(short=1, long=2, offsets_tell=False)
def offset_does_not_fit(world: World, cycles: int) -> None:
    """A stored offset beyond Kafka's end: one partition stops loudly until it is reset by hand."""
    for cycle in range(cycles):
        number = cycle % 12
        place = (METER.topic, number)
        true_offset = _move_offset(world, number, 10**12)
        replica = world.start_replica()
        stopped = replica.wait_for("partition_stopped")
        world.expect("offsets reset" in stopped["help"], "the line names no way out")
        replica.wait_for("partitions_opened")
        world.expect(replica.metric("telemetry_stopped_partitions{") == 1, "no metric says so")
        if cycle == 0:
            world.begin_flow()
        world.progress.wait_for_more(2_000)  # of the others
        world.expect(world.progress.offsets[place] == 10**12, "the offset was reset silently")
        world.stop(replica, code=1)
        _reset(world, number, true_offset)
        replica = world.start_replica()
        world.recovered(since=time.monotonic())
        world.stop(replica)
        world.cycles += 1
    world.start_replica().wait_for("partitions_opened")


def _move_offset(world: World, number: int, offset: int) -> int:
    """Set the stored offset of a partition of the meters, and return what it was."""
    with world.session() as session, session.transaction():
        place = {"topic": METER.topic, "partition": number}
        [(before,)] = session.execute(
            "SELECT next_offset FROM ingest_offset"
            " WHERE topic = %(topic)s AND partition = %(partition)s",
            place,
        ).fetchall()
        session.execute(
            "UPDATE ingest_offset SET next_offset = %(offset)s"
            " WHERE topic = %(topic)s AND partition = %(partition)s",
            place | {"offset": offset},
        )
    return int(before)


def _reset(world: World, number: int, offset: int) -> None:
    """Do as the operator would."""
    assert world.kafka is not None
    command = ["offsets", "reset", "--topic", METER.topic, "--partition", str(number)]
    done = subprocess.run(
        [sys.executable, "-m", "consumer", *command, "--to", str(offset), "--yes"],
        cwd=world.code,
        env={
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": world.kafka.bootstrap,
            "DATABASE_URL": world.database_url,
            "CONSUMER_GROUP": world.group,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    world.expect(done.returncode == 0, f"offsets reset: {done.stderr.strip()}")
