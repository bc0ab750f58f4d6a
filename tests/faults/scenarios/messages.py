"""Messages that are bad, doubled, out of order, of a day that is not made, or too many."""

import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from telemetry.streams import STREAMS
from tests.faults.scenario import scenario
from tests.faults.world import Flow, World

PEAK_MB = 300
LONGEST_STAND_S = 5.0  # removal gives way after 0.5; the rest is for a machine that is busy
_BACKLOG_MINUTES = 20


@scenario(short=0, long=3)
def poison(world: World, cycles: int) -> None:
    """1, 50 and 100 % of the messages are not readings; some clocks are years ahead."""
    # Every byte is compared, so every byte is to be there.
    replicas = [
        world.start_replica(DEAD_LETTERS_WHOLE_PER_HOUR="0", DEAD_LETTERS_WHOLE_BYTES_PER_HOUR="0")
        for _ in range(2)
    ]
    for replica in replicas:
        replica.wait_for("partitions_opened")
    for share in (0.01, 0.5, 1.0)[:cycles]:
        world.run_flow(
            *("--devices", "100", "--duration", "30m", "--rate", "max"),
            *("--malformed", str(share), "--seed", str(world.seed)),
        )
        world.cycles += 1


@scenario(short=0, long=1)
def copies_and_disorder(world: World, cycles: int) -> None:
    """Half of the readings come twice, late, or contradicted, with a replica killed meanwhile."""
    world.start_replica("stays").wait_for("partitions_opened")
    world.begin_flow(
        Flow(options=("--duplicates", "0.2", "--late", "0.2", "--conflicts", "0.1"), chaos=0.0)
    )
    for _ in range(cycles):
        doomed = world.start_replica("dies")
        doomed.wait_for("partitions_opened")
        world.progress.wait_for_more(5_000)
        world.kill(doomed)
        successor = world.start_replica("dies")
        world.recovered(since=time.monotonic())
        world.stop(successor)
        world.cycles += 1


@scenario(short=0, long=2)
def days_never_made(world: World, cycles: int) -> None:
    """Midnight without maintenance: readings of days that have no partition."""
    replica = world.start_replica(PARTITIONS_INTERVAL_S="86400")
    replica.wait_for("partitions_opened")
    for cycle in range(cycles):
        if cycle == 0:
            with world.session() as session:
                for stream in STREAMS:
                    _drop_all_partitions(session, stream.history)
            world.begin_flow()
        world.recovered(since=time.monotonic())
        world.progress.wait_for_more(2_000)
        world.cycles += 1
    made = replica.metric("telemetry_history_partitions_made_late_total")
    world.expect(made > 0, "no partition was made late")


def _drop_all_partitions(session: psycopg.Connection, history: str) -> None:
    for (name,) in session.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass",
        [history],
    ).fetchall():
        session.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))


@scenario(short=0, long=2)
def old_days_removed_beside_a_long_reader(world: World, cycles: int) -> None:
    """Retention removes days while a session reads all of history: ingestion does not wait."""
    world.begin(PARTITIONS_INTERVAL_S="1")
    for cycle in range(cycles):
        old = datetime.now(UTC).date() - timedelta(days=500 + cycle)
        with world.session() as reader, reader.transaction():
            with world.session() as session:
                for stream in STREAMS:
                    _make_day(session, stream.history, old)
            for stream in STREAMS:
                reader.execute(
                    sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(stream.history))
                )
            world.progress.begin_watch()
            world.progress.wait_for_more(20_000)
            stand = world.progress.longest_stand
            world.remarks.append(f"the longest stand beside the reader was {stand:.1f} s")
            world.expect(stand < LONGEST_STAND_S, f"nothing was stored for {stand:.1f} s")
        world.recovered(since=time.monotonic())
        world.cycles += 1


def _make_day(session: psycopg.Connection, history: str, day: date) -> None:
    session.execute(
        sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})").format(
            sql.Identifier(f"{history}_{day:%Y%m%d}"),
            sql.Identifier(history),
            sql.Literal(f"{day} 00:00+00"),
            sql.Literal(f"{day + timedelta(days=1)} 00:00+00"),
        )
    )


@scenario(short=0, long=1)
def backlog(world: World, cycles: int) -> None:
    """Replicas that start behind half a million messages: memory stays bounded."""
    for _ in range(cycles):
        world.run_flow(
            *("--devices", "10000", "--duration", f"{_BACKLOG_MINUTES}m", "--rate", "max"),
            *("--chaos", "0.01", "--seed", str(world.seed)),
        )
        replica = world.start_replica(BATCH_MAX_ROWS="20000", FLUSH_INTERVAL_MS="500")
        replica.wait_for("partitions_opened")
        world.progress.wait_for_more(2 * 10_000 * _BACKLOG_MINUTES // 2)
        peak = _peak_mb(replica.process.pid)
        world.remarks.append(f"peak memory {peak:.0f} MB")
        world.expect(peak < PEAK_MB, f"peak memory was {peak:.0f} MB")
        world.cycles += 1


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1_024
