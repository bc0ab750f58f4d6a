"""PostgreSQL that stops, is silent or slow, fills up, or takes no connections."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from deploy.local.postgres.unprivileged import account_for
from deploy.replica import Replica
from tests.faults.outage import OUTAGE_S, outage, until, wait_for_cause
from tests.faults.scenario import LeftOut, scenario
from tests.faults.world import Flow, World

LONG_OUTAGE_S = 600.0
_DISK_BYTES = 96 << 20
_PAGE = 8_192
FULL_LOAD = Flow(devices=2_000, rate=5_000, chaos=0.01)


def _stop_and_start(world: World, replicas: Sequence[Replica], number: signal.Signals) -> None:
    postgres = world.servers.postgres
    with outage(world, replicas):
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
        with outage(world, replicas):
            with world.session() as session:
                [(pid,)] = session.execute(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'wattline-consumer'"
                    " AND datname = current_database() ORDER BY random() LIMIT 1"
                ).fetchall()
            os.kill(pid, signal.SIGKILL)
            until(world, lambda: _answers(world), "the server did not restart itself")
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
        with outage(world, replicas):
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
        with outage(world, replicas):
            _configure(world, "SET default_transaction_read_only = on")
            wait_for_cause(world, replicas, "read_only")
            time.sleep(OUTAGE_S)
            _configure(world, "RESET default_transaction_read_only")


def _configure(world: World, change: str) -> None:
    """Change a setting of the scenario's database and end the sessions that have the old one."""
    with world.admin() as admin:
        name = sql.Identifier(world.database)
        admin.execute(sql.SQL("ALTER DATABASE {} ").format(name) + sql.SQL(change))
        end_sessions(admin, world)


@scenario(short=0, long=2)
def disk_full(world: World, cycles: int) -> None:
    """The disk of the tables is full (53100), until there is room again."""
    disk = _small_disk(world)
    replicas = world.begin()
    for _ in range(cycles):
        with outage(world, replicas):
            ballast = disk / "ballast"
            _fill(ballast)
            wait_for_cause(world, replicas, "resources")
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
        with outage(world, replicas), contextlib.ExitStack() as hogs:
            keeper = hogs.enter_context(world.admin())
            _take_all_connections(world, hogs)
            end_sessions(keeper, world)
            _take_all_connections(world, hogs)
            replicas[0].wait_for("database_unavailable", times=world.cycles + 1)
            time.sleep(OUTAGE_S)


def _take_all_connections(world: World, hogs: contextlib.ExitStack) -> None:
    with contextlib.suppress(psycopg.OperationalError):
        while True:
            hogs.enter_context(world.admin())


def end_sessions(session: psycopg.Connection, world: World) -> None:
    session.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = %s AND application_name = 'wattline-consumer'",
        [world.database],
    )


@scenario(short=0, long=4, proxied=True)
def postgres_silent(world: World, cycles: int) -> None:
    """Nothing arrives in one direction, and nothing is refused: timeouts have to fire."""
    replicas = world.begin(DATABASE_STATEMENT_TIMEOUT_S="2", DATABASE_LOCK_TIMEOUT_S="1")
    proxy = world.servers.postgres.proxy
    for cycle in range(cycles):
        with outage(world, replicas, noticed=False):
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
        with outage(world, replicas):
            proxy.faults.latency = 0.02
            world.progress.wait_for_more(10_000)
            proxy.faults.latency = 0.0
