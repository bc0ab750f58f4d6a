"""Connections to PostgreSQL that end in the middle of a flush, or before the answer to COMMIT."""

import time

import psycopg

from tests.faults.outage import PATIENCE_S, outage, until
from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(short=1, long=5)
def commit_hangs(world: World, cycles: int) -> None:
    """COMMIT waits for a standby that is not there, and its backend is ended: stored, no answer."""
    replicas = world.begin()
    for _ in range(cycles):
        with outage(world, replicas, noticed=False), world.admin() as admin:
            admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            admin.execute("SELECT pg_reload_conf()")
            ended = _end_waiting(admin)
            admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            admin.execute("SELECT pg_reload_conf()")
            world.expect(ended, "no COMMIT hung")
            _end_waiting(admin, patience=0.2)


def _end_waiting(admin: psycopg.Connection, *, patience: float = PATIENCE_S) -> int:
    """End the backends whose COMMIT hangs; returns how many there were."""
    deadline = time.monotonic() + patience
    while True:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE wait_event = 'SyncRep' AND application_name = 'wattline-consumer'"
        ).rowcount
        if ended or time.monotonic() > deadline:
            return ended
        time.sleep(0.01)


@scenario(short=2, long=10, proxied=True)
def answer_to_commit_lost(world: World, cycles: int) -> None:
    """The network drops the answer to COMMIT and resets the connection."""
    replicas = world.begin()
    proxy = world.servers.postgres.proxy
    for _ in range(cycles):
        with outage(world, replicas):
            proxy.resets = 0
            proxy.faults.swallow_answer_to = b"COMMIT\0"
            until(world, lambda: proxy.resets > 0, "no COMMIT came past")
            proxy.faults.swallow_answer_to = b""


@scenario(short=3, long=20, proxied=True)
def cut_in_copy(world: World, cycles: int) -> None:
    """The connection is reset after some bytes, wherever in a flush they end."""
    replicas = world.begin()
    proxy = world.servers.postgres.proxy
    for _ in range(cycles):
        with outage(world, replicas):
            proxy.resets = 0
            proxy.faults.reset_after["up"] = world.chance.randrange(200_000)
            until(world, lambda: proxy.resets > 0, "nothing was reset")
        world.progress.wait_for_more(200)
