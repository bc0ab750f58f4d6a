"""The service as an operator meets it: starts, waits, drains, and what it says meanwhile."""

import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from consumer.__main__ import main
from consumer.kafka.records import RECORD_OVERHEAD_BYTES
from deploy.replica import ROOT, Replica
from tests.acceptance.conftest import Environment, produce, query, until
from tests.acceptance.group import committed_offsets
from tests.acceptance.readings import meter_messages
from tests.acceptance.series import DEAD, DUPLICATES, STORED
from tests.faults.proxy import Proxy

Start = Callable[..., Replica]


def test_messages_end_where_the_contract_says(start: Start, environment: Environment) -> None:
    replica = start()
    good = list(meter_messages(2_000))
    produce(environment, "telemetry.meter", [*good, *good[:300], (b"x", b"{"), (None, None)])
    until(lambda: replica.metric(STORED) == 2_000, what="all stored")
    until(lambda: replica.metric(DUPLICATES) == 300, what="all copies seen")
    until(lambda: replica.metric(DEAD) == 2, what="all dead letters written")
    until(lambda: replica.metric("telemetry_lag_messages{") == 0, what="caught up")
    assert replica.metric("telemetry_lag_seconds{") == 0
    assert replica.metric("telemetry_assigned_partitions") == 24
    assert query(environment, "SELECT count(*) FROM meter_history") == [(2_000,)]
    assert query(environment, "SELECT count(*) FROM meter_current_state") == [(100,)]
    reasons = query(environment, "SELECT reason FROM dead_letter ORDER BY 1")
    assert reasons == [("empty_value",), ("malformed_json",)]
    assert replica.get("/health/live")[0] == 200
    assert replica.get("/health/ready")[0] == 200


def test_sigterm_drains_exits_0_and_leaves_nothing_to_redo(
    start: Start, environment: Environment
) -> None:
    replica = start()
    replica.wait_for("partitions_opened")
    produce(environment, "telemetry.meter", meter_messages(30_000))
    begun = time.monotonic()
    assert replica.stop() == 0
    assert time.monotonic() - begun < 10
    stored = query(environment, "SELECT count(*) FROM meter_history")[0][0]
    again = start()
    until(
        lambda: query(environment, "SELECT count(*) FROM meter_history") == [(30_000,)],
        what="the rest stored",
    )
    assert again.metric(STORED) == 30_000 - stored
    assert again.metric(DUPLICATES) == 0
    assert again.stop() == 0


def test_what_is_buffered_is_flushed_and_committed_on_sigterm(
    start: Start, environment: Environment
) -> None:
    replica = start(FLUSH_INTERVAL_MS="600000")
    replica.wait_for("partitions_opened")
    messages = list(meter_messages(500))
    produce(environment, "telemetry.meter", messages)
    of_all = sum(RECORD_OVERHEAD_BYTES + len(key) + len(value) for key, value in messages)
    until(lambda: replica.metric("telemetry_buffered_bytes") == of_all, what="all buffered")
    assert query(environment, "SELECT count(*) FROM meter_history") == [(0,)]
    assert replica.stop() == 0
    assert not replica.events("drain_incomplete")
    assert query(environment, "SELECT count(*) FROM meter_history") == [(500,)]
    stored = query(
        environment, "SELECT partition, next_offset FROM ingest_offset WHERE topic LIKE '%meter'"
    )
    committed = asyncio.run(committed_offsets(environment))
    assert committed
    assert committed.items() <= dict(stored).items()


def test_a_restored_older_database_is_brought_up_to_date_whatever_kafka_says(
    start: Start, environment: Environment
) -> None:
    offsets = "SELECT topic, partition, next_offset FROM ingest_offset"
    before = query(environment, offsets)
    first = start()
    produce(environment, "telemetry.meter", meter_messages(500))
    until(lambda: first.metric(STORED) == 500, what="all stored")
    assert first.stop() == 0  # Kafka has the group's offsets at the end
    query(environment, "DELETE FROM meter_history WHERE kwh_consumed_ac < 0.2 RETURNING 1")
    for place in before:
        restore = (
            "UPDATE ingest_offset SET next_offset = {2} WHERE (topic, partition) = ('{0}', {1})"
        )
        query(environment, restore.format(*place) + " RETURNING 1")
    second = start()
    until(lambda: second.metric(STORED) == 200, what="what was missing stored")
    until(lambda: second.metric(DUPLICATES) == 300, what="the rest recognised")
    assert query(environment, "SELECT count(*) FROM meter_history") == [(500,)]


def test_servers_that_are_away_at_the_start_are_waited_for(
    start: Start, environment: Environment
) -> None:
    kafka_host, kafka_port = environment["KAFKA_BOOTSTRAP_SERVERS"].split(":")
    database = conninfo_to_dict(environment["DATABASE_URL"])
    with (
        Proxy(kafka_host, int(kafka_port)) as kafka,
        Proxy(str(database["host"]), int(database["port"] or 0)) as postgres,
    ):
        for proxy in (kafka, postgres):
            proxy.open()
            proxy.cut()
        replica = start(
            KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{kafka.port}",
            DATABASE_URL=environment["DATABASE_URL"].replace(
                f":{database['port']}/", f":{postgres.port}/"
            ),
        )
        replica.wait_for("kafka_unavailable")
        replica.wait_for("database_unavailable")
        assert replica.get("/health/live")[0] == 200
        assert replica.get("/health/ready")[0] == 503
        kafka.open()
        postgres.open()
        replica.wait_for("partitions_opened")
        until(lambda: replica.get("/health/ready")[0] == 200, what="ready")
        assert len(replica.events("kafka_unavailable")) == 1
        assert len(replica.events("database_unavailable")) == 1
        assert replica.stop() == 0


def test_a_replica_that_still_waits_for_its_servers_ends_at_once_on_sigterm(start: Start) -> None:
    replica = start(
        KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9", DATABASE_URL="postgresql://nobody@127.0.0.1:9/none"
    )
    replica.wait_for("database_unavailable")
    assert replica.stop() == 0
    assert replica.events("service_drained")
    assert not replica.events("drain_incomplete")


def test_a_database_that_goes_away_costs_nothing(start: Start, environment: Environment) -> None:
    database = conninfo_to_dict(environment["DATABASE_URL"])
    with Proxy(str(database["host"]), int(database["port"] or 0)) as postgres:
        postgres.open()
        replica = start(
            DATABASE_URL=environment["DATABASE_URL"].replace(
                f":{database['port']}/", f":{postgres.port}/"
            )
        )
        messages = list(meter_messages(20_000))
        produce(environment, "telemetry.meter", messages[:10_000])
        until(lambda: replica.metric(STORED) > 0, what="the first stored")
        postgres.cut()
        produce(environment, "telemetry.meter", messages[10_000:])
        replica.wait_for("database_unavailable")
        assert replica.get("/health/live")[0] == 200
        until(lambda: replica.metric("telemetry_flush_retries_total") >= 3, what="retries")
        assert replica.metric("telemetry_database_available") == 0
        assert replica.metric("telemetry_assigned_partitions") == 24
        postgres.open()
        until(
            lambda: query(environment, "SELECT count(*) FROM meter_history") == [(20_000,)],
            what="all stored",
        )
        until(lambda: replica.metric(STORED) == 20_000, what="all counted")
        assert replica.metric(DEAD) == 0
        assert len(replica.events("database_unavailable")) == 1
        assert replica.stop() == 0


def test_a_replica_that_is_stuck_gives_up(start: Start, environment: Environment) -> None:
    """Both servers answer, messages wait, and nothing moves: here behind a lock without end."""
    replica = start(WATCHDOG_TIMEOUT_S="2", DATABASE_LOCK_TIMEOUT_S="60")
    replica.wait_for("partitions_opened")
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        connection.execute("LOCK TABLE meter_history")
        produce(environment, "telemetry.meter", meter_messages(100))
        assert replica.wait() == 1
    [failure] = replica.events("service_failed")
    assert "messages wait" in failure["error"]
    stacks = replica.log_file.read_text()
    assert "Current thread 0x" in stacks
    assert re.search(r"in _flush\n(.*\n)+?.*in patiently\n(.*\n)+?.*in flush\n", stacks), stacks


def test_a_static_member_comes_back_to_its_partitions_without_a_rebalance(
    start: Start, environment: Environment
) -> None:
    first = start(KAFKA_GROUP_INSTANCE_ID="one", KAFKA_SESSION_TIMEOUT_MS="30000")
    second = start(KAFKA_GROUP_INSTANCE_ID="two", KAFKA_SESSION_TIMEOUT_MS="30000")
    for replica in (first, second):
        until(
            lambda replica=replica: replica.metric("telemetry_assigned_partitions") == 12,  # type: ignore[misc]  # a lambda's default
            what="the partitions are shared",
        )
    opened = len(second.events("partitions_opened"))
    assert first.stop() == 0
    again = start(KAFKA_GROUP_INSTANCE_ID="one", KAFKA_SESSION_TIMEOUT_MS="30000")
    again.wait_for("partitions_opened")
    assert again.metric("telemetry_assigned_partitions") == 12
    assert len(second.events("partitions_opened")) == opened


def test_of_two_replicas_with_one_name_the_first_ends_and_says_why(
    start: Start, environment: Environment
) -> None:
    """Each would take the other's place for ever."""
    first = start(KAFKA_GROUP_INSTANCE_ID="one")
    first.wait_for("partitions_opened")
    second = start(KAFKA_GROUP_INSTANCE_ID="one")
    second.wait_for("partitions_opened")
    assert first.wait() == 1
    [failure] = first.events("service_failed")
    assert "KAFKA_GROUP_INSTANCE_ID" in failure["error"]
    assert "'one'" in failure["error"]
    assert "Traceback" not in first.log_file.read_text()
    produce(environment, "telemetry.meter", meter_messages(500))
    until(lambda: second.metric(STORED) == 500, what="the other one goes on")
    assert len(second.events("partitions_opened")) == 1
    assert second.stop() == 0


def test_a_static_member_that_was_killed_is_replaced_by_the_next_of_its_name(
    start: Start, environment: Environment
) -> None:
    for _ in range(3):
        replica = start(KAFKA_GROUP_INSTANCE_ID="one", KAFKA_SESSION_TIMEOUT_MS="30000")
        replica.wait_for("partitions_opened")
        replica.kill()
    last = start(KAFKA_GROUP_INSTANCE_ID="one", KAFKA_SESSION_TIMEOUT_MS="30000")
    produce(environment, "telemetry.meter", meter_messages(500))
    until(lambda: last.metric(STORED) == 500, what="it goes on")
    assert last.stop() == 0


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_static_member_that_was_suspended_comes_back_unless_its_name_is_taken(
    start: Start, environment: Environment, is_replaced: bool
) -> None:
    soon = {"KAFKA_SESSION_TIMEOUT_MS": "3000"}
    replica = start(KAFKA_GROUP_INSTANCE_ID="one", **soon)
    other = start(KAFKA_GROUP_INSTANCE_ID="two", **soon)
    until(lambda: replica.metric("telemetry_assigned_partitions") == 12, what="shared")
    replica.process.send_signal(signal.SIGSTOP)
    until(lambda: other.metric("telemetry_assigned_partitions") == 24, what="it is missed")
    if is_replaced:
        start(KAFKA_GROUP_INSTANCE_ID="one").wait_for("partitions_opened")
    replica.process.send_signal(signal.SIGCONT)
    if is_replaced:
        assert replica.wait() == 1
    else:
        until(lambda: other.metric("telemetry_assigned_partitions") == 12, what="it is back")
        until(lambda: replica.metric("telemetry_assigned_partitions") == 12, what="it is back")
        assert replica.stop() == 0


def test_offsets_that_do_not_fit_kafka_stop_the_partition_and_no_other(
    start: Start, environment: Environment
) -> None:
    query(
        environment,
        "UPDATE ingest_offset SET next_offset = 1000000000000"
        " WHERE topic = 'telemetry.meter' AND partition = 3 RETURNING 1",
    )
    replica = start()
    stopped = replica.wait_for("partition_stopped")
    assert (stopped["topic"], stopped["partition"]) == ("telemetry.meter", 3)
    assert "offsets show" in stopped["help"]
    replica.wait_for("partitions_opened")
    assert replica.metric("telemetry_stopped_partitions{") == 1
    assert replica.metric("telemetry_assigned_partitions") == 23


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "mysql://here"),
        ("KAFKA_BOOTSTRAP_SERVERS", ""),
        ("KAFKA_BOOTSTRAP_SERVERS", "no port"),
        ("BATCH_MAX_ROWS", "many"),
        ("HISTORY_RETENTION_DAYS", "0"),
        ("LOG_FORMAT", "xml"),
        ("HTTP_PORT", "70000"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fine = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "DATABASE_URL": "postgresql://127.0.0.1:9/x"}
    for setting, text in (fine | {name: value}).items():
        monkeypatch.setenv(setting, text)
    monkeypatch.setattr(sys, "argv", ["consumer", "run"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert name in line


def test_a_setting_that_is_missing_is_one_line_and_exit_code_2() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "consumer", "run"],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert "KAFKA_BOOTSTRAP_SERVERS" in line
