"""PostgreSQL that stops, refuses, waits, fills up, or whose answer does not come."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from deploy.local.postgres.unprivileged import account_for
from deploy.replica import Replica
from tests.faults.scenario import LeftOut, scenario
from tests.faults.world import Flow, World

OUTAGE_S = 3.0
LONG_OUTAGE_S = 600.0
_DISK_BYTES = 96 << 20
_PAGE = 8_192
# Above the longest pauses by far, for a machine that is busy; how long it took is in the table.
_RESUMED_IN_S = 15.0
_PATIENCE_S = 60.0
_TRIED = 'telemetry_flush_retries_total{cause="schema"'

FULL_LOAD = Flow(devices=2_000, rate=5_000, chaos=0.01)


def _expect_patience(world: World, replicas: Sequence[Replica], *, opened: Sequence[int]) -> None:
    """Expect no rebalance, and no dead letters but the ones sent; the judge expects no exit."""
    for replica, before in zip(replicas, opened, strict=True):
        after = len(replica.events("partitions_opened"))
        world.expect(after == before, "a replica lost its partitions")


@contextlib.contextmanager
def _outage(world: World, replicas: Sequence[Replica], *, noticed: bool = True) -> Iterator[None]:
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


def _stop_and_start(world: World, replicas: Sequence[Replica], number: signal.Signals) -> None:
    postgres = world.servers.postgres
    with _outage(world, replicas):
        postgres.end(number)
        time.sleep(OUTAGE_S)
        postgres.start()


@scenario(short=0, long=3)
def postgres_stopped_fast(world: World, cycles: int) -> None:
    """pg_ctl stop -m fast, and a start."""
    replicas = world.begin()
    for _ in range(cycles):
        _stop_and_start(world, replicas, signal.SIGINT)


@scenario(short=0, long=3)
def postgres_stopped_at_once(world: World, cycles: int) -> None:
    """pg_ctl stop -m immediate, and a start with recovery from WAL."""
    replicas = world.begin()
    for _ in range(cycles):
        _stop_and_start(world, replicas, signal.SIGQUIT)


@scenario(short=1, long=10)
def backend_killed(world: World, cycles: int) -> None:
    """kill -9 of a replica's backend: the whole server restarts itself."""
    replicas = world.begin()
    for _ in range(cycles):
        with _outage(world, replicas):
            with world.session() as session:
                [(pid,)] = session.execute(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'wattline-consumer'"
                    " AND datname = current_database() ORDER BY random() LIMIT 1"
                ).fetchall()
            os.kill(pid, signal.SIGKILL)
            _until(world, lambda: _answers(world), "the server did not restart itself")
        world.progress.wait_for_more(500)


def _answers(world: World) -> bool:
    try:
        world.session().close()
    except psycopg.OperationalError:
        return False
    return True


@scenario(short=0, long=1, flow=FULL_LOAD)
def postgres_away_for_ten_minutes(world: World, cycles: int) -> None:
    """No PostgreSQL for ten minutes at full load: memory flat, no exit, assignment kept."""
    replicas = world.begin()
    for _ in range(cycles):
        with _outage(world, replicas):
            world.servers.postgres.end(signal.SIGINT)
            time.sleep(60)
            early = [_resident_mb(replica) for replica in replicas]
            time.sleep(LONG_OUTAGE_S - 60)
            late = [_resident_mb(replica) for replica in replicas]
            world.servers.postgres.start()
    for before, after in zip(early, late, strict=True):
        world.remarks.append(f"resident memory after 1 min {before:.0f} MB, 10 min {after:.0f} MB")
        world.expect(after < before * 1.1 + 5, "memory grew while PostgreSQL was away")
    for replica in replicas:
        lines = len(replica.log())
        world.expect(lines < 40, f"a replica logged {lines} lines")


def _resident_mb(replica: Replica) -> float:
    status = Path(f"/proc/{replica.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1_024


@scenario(short=0, long=2)
def database_read_only(world: World, cycles: int) -> None:
    """default_transaction_read_only, as after a switch to a standby (25006)."""
    replicas = world.begin()
    for _ in range(cycles):
        with _outage(world, replicas):
            _configure(world, "SET default_transaction_read_only = on")
            _wait_for_cause(world, replicas, "read_only")
            time.sleep(OUTAGE_S)
            _configure(world, "RESET default_transaction_read_only")


def _configure(world: World, change: str) -> None:
    """Change a setting of the scenario's database and end the sessions that have the old one."""
    with world.admin() as admin:
        name = sql.Identifier(world.database)
        admin.execute(sql.SQL("ALTER DATABASE {} ").format(name) + sql.SQL(change))
        _end_sessions(admin, world)


def _wait_for_cause(world: World, replicas: Sequence[Replica], cause: str) -> None:
    """Wait until a replica counts retries for this cause."""
    series = f'telemetry_flush_retries_total{{cause="{cause}"'
    deadline = time.monotonic() + _PATIENCE_S
    while not any(replica.metric(series) for replica in replicas):
        if time.monotonic() > deadline:
            world.violations.append(f"no flush was retried because of {cause}")
            return
        time.sleep(0.1)


@scenario(short=0, long=2)
def disk_full(world: World, cycles: int) -> None:
    """The disk of the tables is full (53100), until there is room again."""
    disk = _small_disk(world)
    replicas = world.begin()
    for _ in range(cycles):
        with _outage(world, replicas):
            ballast = disk / "ballast"
            _fill(ballast)
            _wait_for_cause(world, replicas, "resources")
            time.sleep(OUTAGE_S)
            ballast.unlink()


def _small_disk(world: World) -> Path:
    """Mount a small file system, on which the scenario's new partitions are made."""
    disk = world.folder / "disk"
    tables = disk / "tables"
    disk.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        raise LeftOut("only root may mount a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        raise LeftOut("a small disk cannot be mounted here")
    world.afterwards.callback(subprocess.run, ["umount", "--lazy", str(disk)], check=True)
    tables.mkdir(mode=0o700)
    if account := account_for(world.servers.postgres.server.data):
        for folder in (*reversed(tables.parents), tables):
            if folder.is_relative_to(world.servers.folder):
                folder.chmod(0o711)
        os.chown(tables, account.uid, account.gid)
    name = sql.Identifier(f"{world.database}_disk")
    with world.admin() as admin:
        place = sql.Literal(str(tables))
        admin.execute(sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(name, place))
        admin.execute(
            sql.SQL("ALTER DATABASE {} SET default_tablespace = {}").format(
                sql.Identifier(world.database), name
            )
        )
    world.afterwards.callback(_drop_tablespace, world, name)
    return disk


def _drop_tablespace(world: World, name: sql.Identifier) -> None:
    with world.admin() as admin:
        admin.execute(sql.SQL("DROP TABLESPACE {}").format(name))


def _fill(ballast: Path) -> None:
    """Take all the room that is left, while the server takes of it too."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(_PAGE))


@scenario(short=0, long=2)
def too_many_connections(world: World, cycles: int) -> None:
    """Every connection that the server has is taken, and the replicas lose theirs (53300)."""
    replicas = world.begin()
    for _ in range(cycles):
        with _outage(world, replicas), contextlib.ExitStack() as hogs:
            keeper = hogs.enter_context(world.admin())
            _take_all_connections(world, hogs)
            _end_sessions(keeper, world)
            _take_all_connections(world, hogs)
            replicas[0].wait_for("database_unavailable", times=world.cycles + 1)
            time.sleep(OUTAGE_S)


def _take_all_connections(world: World, hogs: contextlib.ExitStack) -> None:
    with contextlib.suppress(psycopg.OperationalError):
        while True:
            hogs.enter_context(world.admin())


def _end_sessions(session: psycopg.Connection, world: World) -> None:
    session.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = %s AND application_name = 'wattline-consumer'",
        [world.database],
    )


@scenario(short=1, long=3)
def current_state_locked(world: World, cycles: int) -> None:
    """A session locks the meters' current state (55P03): meters wait, vehicles continue."""
    replicas = world.begin(DATABASE_LOCK_TIMEOUT_S="1")
    for _ in range(cycles):
        with _outage(world, replicas), world.session() as session, session.transaction():
            session.execute("LOCK TABLE meter_current_state IN ACCESS EXCLUSIVE MODE")
            _wait_for_cause(world, replicas, "lock")
            # The meters' partitions stand; the vehicles' must not.
            world.progress.wait_for_more(1_000)
        down = sum(len(replica.events("database_unavailable")) for replica in replicas)
        world.expect(down == 0, "a lock was taken for an outage")


@scenario(short=1, long=3)
def statement_refused(world: World, cycles: int) -> None:
    """All upserts of the meters are refused (42501): meters wait, vehicles continue."""
    replicas = world.begin()
    for cycle in range(cycles):
        with _outage(world, replicas), world.session() as session:
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
            _until(
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
        with _outage(world, replicas), world.session() as session:
            session.execute("SET deadlock_timeout = '1min'")  # the other is the victim
            deadline = time.monotonic() + _PATIENCE_S
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
        with _outage(world, replicas):
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
    deadline = time.monotonic() + _PATIENCE_S
    with world.session() as session:
        while time.monotonic() < deadline:
            [(reached,)] = session.execute("SELECT last_value FROM trouble").fetchall()
            if reached > number:
                return
            time.sleep(0.05)
    world.violations.append("the errors were not all raised")


@scenario(short=1, long=5)
def commit_hangs(world: World, cycles: int) -> None:
    """COMMIT waits for a standby that is not there, and its backend is ended: stored, no answer."""
    replicas = world.begin()
    for _ in range(cycles):
        with _outage(world, replicas, noticed=False), world.admin() as admin:
            admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            admin.execute("SELECT pg_reload_conf()")
            ended = _end_waiting(admin)
            admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            admin.execute("SELECT pg_reload_conf()")
            world.expect(ended, "no COMMIT hung")
            _end_waiting(admin, patience=0.2)


def _end_waiting(admin: psycopg.Connection, *, patience: float = _PATIENCE_S) -> int:
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
        with _outage(world, replicas):
            proxy.resets = 0
            proxy.faults.swallow_answer_to = b"COMMIT\0"
            _until(world, lambda: proxy.resets > 0, "no COMMIT came past")
            proxy.faults.swallow_answer_to = b""


@scenario(short=3, long=20, proxied=True)
def cut_in_copy(world: World, cycles: int) -> None:
    """The connection is reset after some bytes, wherever in a flush they end."""
    replicas = world.begin()
    proxy = world.servers.postgres.proxy
    for _ in range(cycles):
        with _outage(world, replicas):
            proxy.resets = 0
            proxy.faults.reset_after["up"] = world.chance.randrange(200_000)
            _until(world, lambda: proxy.resets > 0, "nothing was reset")
        world.progress.wait_for_more(200)


@scenario(short=0, long=4, proxied=True)
def postgres_silent(world: World, cycles: int) -> None:
    """Nothing arrives in one direction, and nothing is refused: timeouts have to fire."""
    replicas = world.begin(DATABASE_STATEMENT_TIMEOUT_S="2", DATABASE_LOCK_TIMEOUT_S="1")
    proxy = world.servers.postgres.proxy
    for cycle in range(cycles):
        with _outage(world, replicas, noticed=False):
            proxy.faults.silent = frozenset({("up", "down")[cycle % 2]})
            replicas[0].wait_for(
                "database_unavailable", times=len(replicas[0].events("database_unavailable")) + 1
            )
            time.sleep(OUTAGE_S)
            proxy.faults.silent = frozenset()


@scenario(short=0, long=1, proxied=True)
def postgres_slow(world: World, cycles: int) -> None:
    """20 ms to PostgreSQL in each direction: batches grow, and everything continues."""
    replicas = world.begin()
    proxy = world.servers.postgres.proxy
    for _ in range(cycles):
        with _outage(world, replicas):
            proxy.faults.latency = 0.02
            world.progress.wait_for_more(10_000)
            proxy.faults.latency = 0.0


def _until(world: World, condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            world.violations.append(otherwise)
            return
        time.sleep(0.01)
