"""PostgreSQL that is well and says no: locks, deadlocks, errors that are not about the data."""

import time
from collections.abc import Sequence

from psycopg import sql

from tests.faults.outage import PATIENCE_S, outage, until, wait_for_cause
from tests.faults.scenario import scenario
from tests.faults.world import World

_TRIED = 'telemetry_flush_retries_total{cause="schema"'


@scenario(short=1, long=3)
def current_state_locked(world: World, cycles: int) -> None:
    """A session locks the meters' current state (55P03): meters wait, vehicles continue."""
    replicas = world.begin(DATABASE_LOCK_TIMEOUT_S="1")
    for _ in range(cycles):
        with outage(world, replicas), world.session() as session, session.transaction():
            session.execute("LOCK TABLE meter_current_state IN ACCESS EXCLUSIVE MODE")
            wait_for_cause(world, replicas, "lock")
            # The meters' partitions stand; the vehicles' must not.
            world.progress.wait_for_more(1_000)
        down = sum(len(replica.events("database_unavailable")) for replica in replicas)
        world.expect(down == 0, "a lock was taken for an outage")


@scenario(short=1, long=3)
def statement_refused(world: World, cycles: int) -> None:
    """All upserts of the meters are refused (42501): meters wait, vehicles continue."""
    replicas = world.begin()
    for cycle in range(cycles):
        with outage(world, replicas), world.session() as session:
            session.execute(
                "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " RAISE EXCEPTION 'refused on purpose' USING ERRCODE = '42501'; END $$"
            )
            session.execute(
                "CREATE TRIGGER refuse BEFORE INSERT ON meter_current_state"
                " FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
            )
            for replica in replicas:
                replica.wait_for("database_refuses", times=cycle + 1)
            before = [replica.metric(_TRIED) for replica in replicas]
            world.progress.wait_for_more(1_000)
            until(
                world,
                lambda before=before: all(  # type: ignore[misc]  # a lambda's default
                    replica.metric(_TRIED) > tried
                    for replica, tried in zip(replicas, before, strict=True)
                ),
                "what was refused was not tried again",
            )
            for replica in replicas:
                status, _ = replica.get("/health/ready")
                world.expect(status == 503, "a replica is ready that cannot store meters")
            session.execute("DROP TRIGGER refuse ON meter_current_state")
    down = sum(len(replica.events("database_unavailable")) for replica in replicas)
    world.expect(down == 0, "a refusal was taken for an outage")


@scenario(short=0, long=3)
def deadlocks(world: World, cycles: int) -> None:
    """A session locks the devices in the reverse order of the upserts (40P01)."""
    with world.session() as session:
        session.execute(
            sql.SQL("ALTER DATABASE {} SET deadlock_timeout = '20ms'").format(
                sql.Identifier(world.database)
            )
        )
    replicas = world.begin()
    for _ in range(cycles):
        with outage(world, replicas), world.session() as session:
            session.execute("SET deadlock_timeout = '1min'")  # the other is the victim
            deadline = time.monotonic() + PATIENCE_S
            series = 'telemetry_flush_retries_total{cause="serialization"'
            before = sum(replica.metric(series) for replica in replicas)
            while sum(replica.metric(series) for replica in replicas) == before:
                world.expect(time.monotonic() < deadline, "no deadlock came about")
                if time.monotonic() > deadline:
                    break
                with session.transaction():
                    for order in ("DESC", "ASC"):
                        session.execute(
                            "SELECT 1 FROM meter_current_state WHERE meter_id IN (SELECT meter_id"
                            f" FROM meter_current_state ORDER BY meter_id {order} LIMIT 40)"
                            f" ORDER BY meter_id {order} FOR UPDATE"
                        )
                        time.sleep(0.02)


RETRYABLE = [
    "08000",
    "08003",
    "08006",
    "08001",
    "08004",
    "08P01",
    "25006",
    "25P03",
    "40001",
    "40003",
    "40P01",
    "53000",
    "53100",
    "53200",
    "53300",
    "53400",
    "55000",
    "55006",
    "55P03",
    "57000",
    "57014",
    "57P01",
    "57P02",
    "57P03",
    "57P04",
    "58000",
    "58030",
    "XX000",
    "XX001",
    "0A000",
    "42501",
    "42P01",
]


@scenario(short=1, long=2)
def every_retryable_error(world: World, cycles: int) -> None:
    """Every SQLSTATE that is not about the data, raised within a batch: no dead letter."""
    replicas = world.begin()
    for _ in range(cycles):
        with outage(world, replicas):
            _raise_in_upserts(world, RETRYABLE)
            _wait_until_raised(world, len(RETRYABLE))


def _raise_in_upserts(world: World, states: Sequence[str]) -> None:
    """Let the upserts of the meters' current state raise the errors of the list, one by one.

    Each lasts until no replica has tried for 50 ms: one that takes it for the data's fault, and
    bisects the batch at once, comes down to single rows.
    """
    with world.session() as session:
        session.execute("DROP TRIGGER IF EXISTS trouble ON meter_current_state")
        # Sequences move on even if the transaction is rolled back.
        for sequence in ("trouble", "trouble_tried_at"):
            session.execute(
                sql.SQL("CREATE SEQUENCE IF NOT EXISTS {}").format(sql.Identifier(sequence))
            )
            session.execute(sql.SQL("ALTER SEQUENCE {} RESTART").format(sql.Identifier(sequence)))
        session.execute(
            sql.SQL(
                "CREATE OR REPLACE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS {}"
            ).format(
                sql.Literal(
                    "DECLARE states text[] := ARRAY['" + "','".join(states) + "'];"
                    " before bigint := (SELECT last_value FROM trouble_tried_at);"
                    " number bigint := (SELECT last_value FROM trouble);"
                    " BEGIN"
                    " IF setval('trouble_tried_at',"
                    " (extract(epoch FROM clock_timestamp()) * 1000)::bigint) > before + 50"
                    " THEN number := nextval('trouble'); END IF;"
                    " IF number <= cardinality(states) THEN RAISE EXCEPTION"
                    " 'raised on purpose' USING ERRCODE = states[number]; END IF;"
                    " RETURN NULL; END"
                )
            )
        )
        session.execute(
            "CREATE TRIGGER trouble AFTER INSERT ON meter_current_state"
            " FOR EACH STATEMENT EXECUTE FUNCTION trouble()"
        )


def _wait_until_raised(world: World, number: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    with world.session() as session:
        while time.monotonic() < deadline:
            [(reached,)] = session.execute("SELECT last_value FROM trouble").fetchall()
            if reached > number:
                return
            time.sleep(0.05)
    world.violations.append("the errors were not all raised")
