"""What may break: each breaks one thing, and mends it as the runbook says."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace

import psycopg
from confluent_kafka import Consumer, Producer
from psycopg import sql

from deploy.replica import ROOT
from runtime.postgres.schema_version import NEEDED
from telemetry.streams import METER, STREAMS
from tests.gameday.scene import FLOW, REPLICAS, Scene

_CLIENT_S = 20.0


@dataclass(frozen=True)
class Breakage:
    """`broken(scene)` is a context: entering breaks, leaving mends. `alert` has to tell of it."""

    name: str
    about: str
    alert: str
    broken: Callable[[Scene], AbstractContextManager[None]]


BREAKAGES: dict[str, Breakage] = {}

Break = Callable[[Scene], Generator[None]]


def breakage(alert: str) -> Callable[[Break], Break]:
    """Register a function that breaks, yields and mends; its docstring says what."""

    def register(function: Break) -> Break:
        name = function.__name__
        about = (function.__doc__ or "").strip()
        BREAKAGES[name] = Breakage(name, about, alert, contextmanager(function))
        return function

    return register


@breakage("DatabaseUnavailable")
def postgres_stopped(scene: Scene) -> Generator[None]:
    """PostgreSQL is stopped."""
    postgres = scene.world.servers.postgres
    postgres.end(signal.SIGINT)
    yield
    postgres.start()


@breakage("DatabaseUnavailable")
def postgres_read_only(scene: Scene) -> Generator[None]:
    """The database is read-only, as after a switch to a standby."""
    name = sql.Identifier(scene.world.database)
    change = sql.SQL("ALTER DATABASE {} {}")
    with scene.world.admin() as admin:
        admin.execute(change.format(name, sql.SQL("SET default_transaction_read_only = on")))
        _end_sessions(admin, scene)
        yield
        admin.execute(change.format(name, sql.SQL("RESET default_transaction_read_only")))
        _end_sessions(admin, scene)


# Now and then a replica may get one that somebody has closed. So not DatabaseUnavailable.
@breakage("DatabaseCircuitOpen")
def connections_taken(scene: Scene) -> Generator[None]:
    """Another program has taken all of PostgreSQL's connections."""
    with ExitStack() as taken:
        admin = taken.enter_context(scene.world.admin())
        for _ in range(3):  # those that the consumers lose are taken too
            with suppress(psycopg.OperationalError):
                while True:
                    taken.enter_context(scene.world.admin())
            _end_sessions(admin, scene)
        yield


def _end_sessions(admin: psycopg.Connection, scene: Scene) -> None:
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = %s AND application_name = 'wattline-consumer'",
        [scene.world.database],
    )


@breakage("DatabaseCircuitOpen")
def one_replica_cut_off(scene: Scene) -> Generator[None]:
    """One of the replicas cannot reach PostgreSQL."""
    proxy = scene.world.servers.postgres.proxy
    proxy.cut()
    yield
    proxy.open()


@breakage("DatabaseRefuses")
def trigger_added(scene: Scene) -> Generator[None]:
    """Somebody has added a trigger to the meters' current state, and it raises."""
    with _refusal(scene, table="meter_current_state", event="INSERT"):
        yield


@breakage("UpkeepRefused")
def rollups_refused(scene: Scene) -> Generator[None]:
    """Somebody has added a trigger to the notes for rollups, and it raises."""
    with _refusal(scene, table="rollup_due", event="DELETE"):
        yield


@contextmanager
def _refusal(scene: Scene, *, table: str, event: str, sqlstate: str = "42501") -> Generator[None]:
    """Let each statement of this kind raise an error."""
    with scene.world.session() as session:
        session.execute(
            sql.SQL("CREATE FUNCTION gameday() RETURNS trigger LANGUAGE plpgsql AS {}").format(
                sql.Literal(
                    "BEGIN RAISE EXCEPTION 'by a trigger of somebody''s'"
                    f" USING ERRCODE = '{sqlstate}'; END"
                )
            )
        )
        session.execute(
            sql.SQL(
                "CREATE TRIGGER gameday BEFORE {} ON {}"
                " FOR EACH STATEMENT EXECUTE FUNCTION gameday()"
            ).format(sql.SQL(event), sql.Identifier(table))
        )
    yield
    with scene.world.session() as session:
        session.execute("DROP FUNCTION gameday() CASCADE")


@breakage("UpkeepUnavailable")
def rollups_starved(scene: Scene) -> Generator[None]:
    """PostgreSQL has no memory for rollups, and enough for all else."""
    with _refusal(scene, table="rollup_due", event="DELETE", sqlstate="53200"):
        yield


@breakage("FlushesRetried")
def table_locked(scene: Scene) -> Generator[None]:
    """Somebody's session has locked the meters' current state, and does not end."""
    with scene.world.session() as session, session.transaction():
        session.execute("LOCK TABLE meter_current_state IN ACCESS EXCLUSIVE MODE")
        yield


@breakage("SchemaUnfit")
def schema_too_old(scene: Scene) -> Generator[None]:
    """A new replica was started before `schema apply`."""
    with scene.world.session() as session:
        [row] = session.execute(
            "DELETE FROM schema_version WHERE version = %s RETURNING schema_version.*", [NEEDED]
        ).fetchall()
        scene.replicas.append(scene.start_replica())
        yield
        values = sql.SQL(", ").join([sql.Placeholder()] * len(row))
        session.execute(sql.SQL("INSERT INTO schema_version VALUES ({})").format(values), row)


@breakage("KafkaUnavailable")
def kafka_stopped(scene: Scene) -> Generator[None]:
    """The broker was killed."""
    assert scene.world.kafka is not None
    broker = scene.world.kafka.only
    broker.end(signal.SIGKILL)
    yield
    broker.start()


@breakage("NoConsumer")
def replicas_killed(scene: Scene) -> Generator[None]:
    """All replicas of the consumer were killed."""
    for replica in scene.replicas:
        scene.world.kill(replica)
    yield
    _start_anew(scene)


def _start_anew(scene: Scene) -> None:
    """Start replicas in the place of those that have ended."""
    for replica in scene.replicas:
        scene.forget(replica)
    scene.replicas = [scene.start_replica(through_proxy=n > 0) for n in range(REPLICAS)]


@breakage("NoApi")
def api_killed(scene: Scene) -> Generator[None]:
    """The API was killed."""
    scene.api.kill()
    yield
    scene.forget(scene.api)
    scene.api = scene.start_api()


@breakage("PartitionsUnassigned")
def stranger_joined(scene: Scene) -> Generator[None]:
    """Another program has joined the consumer group, and reads nothing."""
    stranger = Consumer(
        {
            "bootstrap.servers": scene.addresses["KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": scene.world.group,
            "client.id": "report-of-the-month",
            "partition.assignment.strategy": "roundrobin",
        }
    )
    stranger.subscribe([stream.topic for stream in STREAMS])
    while not stranger.assignment():
        stranger.poll(0.1)
    # It is alive as long as its thread sends heartbeats, for five minutes.
    stranger.pause(stranger.assignment())
    yield
    stranger.close()


@breakage("TransactionOpen")
def transaction_left_open(scene: Scene) -> Generator[None]:
    """A producer has begun a transaction and does not end it."""
    producer = Producer(
        {
            "bootstrap.servers": scene.addresses["KAFKA_BOOTSTRAP_SERVERS"],
            "transactional.id": scene.world.group,
            "transaction.timeout.ms": 600_000,
        }
    )
    producer.init_transactions(_CLIENT_S)
    producer.begin_transaction()
    producer.produce(METER.topic, key=b"nobody", value=b"{}", partition=3)
    producer.flush(_CLIENT_S)
    yield
    producer.abort_transaction(_CLIENT_S)


@breakage("PartitionStopped")
def offset_beyond_the_end(scene: Scene) -> Generator[None]:
    """A stored offset lies beyond the end of its partition, as if the topic had been made anew."""
    _stop_all(scene)
    where = "consumer_group = %s AND topic = %s AND partition = 3"
    with scene.world.session() as session:
        [(stored,)] = session.execute(
            "SELECT next_offset FROM ingest_offset WHERE " + where,
            [scene.world.group, METER.topic],
        ).fetchall()
        session.execute(
            "UPDATE ingest_offset SET next_offset = next_offset + 1000000000 WHERE " + where,
            [scene.world.group, METER.topic],
        )
    _start_anew(scene)
    yield
    _stop_all(scene)
    place = ["--topic", METER.topic, "--partition", "3", "--to", str(stored), "--yes"]
    _run_command(scene, "offsets", "reset", *place)
    _start_anew(scene)


def _stop_all(scene: Scene) -> None:
    """Stop all replicas in order; whoever had a stopped partition ends with exit code 1."""
    for replica in scene.replicas:
        scene.world.end_in_order(replica)


def _run_command(scene: Scene, *arguments: str) -> None:
    """Run a command of the consumer's, as an operator does; raises CalledProcessError."""
    subprocess.run(
        [sys.executable, "-m", "consumer", *arguments],
        cwd=ROOT,
        env={**os.environ, **scene.addresses},
        capture_output=True,
        check=True,
    )


@breakage("ManyDeadLetters")
def poison_sent(scene: Scene) -> Generator[None]:
    """A new firmware sends what is not a reading."""
    poison = ("--malformed", "0.3")
    scene.world.begin_flow(replace(FLOW, options=poison))
    yield
    scene.world.end_flow()
    scene.world.begin_flow()
