"""Stored offsets that do not fit Kafka's, and the commands that show and move them."""

import asyncio
import os
import pty
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from deploy.replica import PATIENCE_S, ROOT, Replica
from runtime.kafka.settings import KafkaSettings
from runtime.kafka.topics import create_topics
from tests import kafka_clients
from tests.acceptance.broker import Broker
from tests.acceptance.conftest import Environment, environ, query, until
from tests.acceptance.group import committed_offsets
from tests.acceptance.offsets_command import command
from tests.acceptance.readings import meter_messages
from tests.acceptance.series import DUPLICATES, STORED

METER = "telemetry.meter"
STOPPED = "telemetry_stopped_partitions{"
ASSIGNED = "telemetry_assigned_partitions"

Start = Callable[..., Replica]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker.started(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.kill()


@pytest.fixture
def environment(broker: Broker, database_url: str, group: str) -> Iterator[Environment]:
    """A broker of the module's own, with topics of the test's own: made anew for each test."""
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.node.address,
        "DATABASE_URL": database_url,
        "CONSUMER_GROUP": group,
        "KAFKA_SESSION_TIMEOUT_MS": "6000",
        "KAFKA_HEARTBEAT_INTERVAL_MS": "1000",
        "LAG_INTERVAL_S": "0.5",
    }
    make_topics(environment)
    yield environment
    delete_topics(environment)


def make_topics(environment: Environment) -> None:
    def made() -> bool:  # a name is free again a moment after its topic was deleted
        return bool(asyncio.run(create_topics(kafka(environment), partitions=3)))

    until(made, what="the topics are made")


def delete_topics(environment: Environment) -> None:
    async def delete() -> None:
        admin = AIOKafkaAdminClient(**kafka(environment).aiokafka())
        await admin.start()
        await admin.delete_topics([METER, "telemetry.vehicle"])
        await admin.close()

    asyncio.run(delete())


def delete_records(environment: Environment, partition: int, before: int) -> None:
    """Do what retention does."""

    async def delete() -> None:
        admin = AIOKafkaAdminClient(**kafka(environment).aiokafka())
        await admin.start()
        await admin.delete_records({TopicPartition(METER, partition): RecordsToDelete(before)})
        await admin.close()

    asyncio.run(delete())


def kafka(environment: Environment) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"])


def fill(environment: Environment, count: int, *, partition: int = 0, first: int = 0) -> None:
    """Send this many good readings to one partition, a tenth of a second apart in Kafka's time."""
    messages = list(meter_messages(first + count))[first:]
    with kafka_clients.producer(environment["KAFKA_BOOTSTRAP_SERVERS"]) as producer:
        for number, (key, value) in enumerate(messages, first):
            at = BEGIN + timedelta(seconds=number / 10)
            producer.produce(
                METER,
                key=key,
                value=value,
                partition=partition,
                timestamp=int(at.timestamp() * 1_000),
                on_delivery=delivered,
            )
        assert producer.flush(PATIENCE_S) == 0


def delivered(error: object, message: object) -> None:
    assert error is None


BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


def row(ended: subprocess.CompletedProcess[str], topic: str, partition: int) -> list[str]:
    """Return what a table says of the partition, in words."""
    rows = [line.split() for line in ended.stdout.splitlines()]
    [found] = [cells[2:] for cells in rows if cells[:2] == [topic, str(partition)]]
    return found


def words(text: str) -> list[str]:
    return text.split()


def reset(environment: Environment, *options: str) -> subprocess.CompletedProcess[str]:
    return command(environment, "reset", "--topic", METER, *options)


def store(environment: Environment, partition: int, offset: int) -> None:
    query(
        environment,
        "INSERT INTO ingest_offset VALUES"
        f" ('{environment['CONSUMER_GROUP']}', '{METER}', {partition}, {offset})"
        " ON CONFLICT (consumer_group, topic, partition)"
        " DO UPDATE SET next_offset = excluded.next_offset RETURNING 1",
    )


def stored(environment: Environment) -> dict[int, int]:
    text = f"SELECT partition, next_offset FROM ingest_offset WHERE topic = '{METER}'"
    return dict(query(environment, text))


# The service.


def test_what_was_stored_while_kafka_was_asked_does_not_lie_beyond_its_end(
    environment: Environment, start: Start
) -> None:
    """The former owner stores what came after the new one had asked Kafka for its end."""
    fill(environment, 5)
    with psycopg.connect(environment["DATABASE_URL"]) as former_owner:
        former_owner.execute(
            "INSERT INTO ingest_offset VALUES (%s, %s, 0, 9)",
            [environment["CONSUMER_GROUP"], METER],
        )
        replica = start()
        waits = "SELECT FROM pg_stat_activity WHERE wait_event = 'transactionid'"
        until(lambda: bool(query(environment, waits)), what="the replica waits for the offset")
        fill(environment, 4, first=5)
        former_owner.commit()
    replica.wait_for("partitions_opened")
    fill(environment, 1, first=9)
    until(lambda: bool(query(environment, "SELECT FROM meter_history")), what="the tenth is stored")
    assert "partition_stopped" not in replica.log_file.read_text()


def test_offsets_that_retention_has_overtaken_stop_the_partition_and_the_exit_says_so(
    start: Start, environment: Environment
) -> None:
    fill(environment, 100)
    store(environment, 0, 10)
    delete_records(environment, 0, 40)
    replica = start()
    said = replica.wait_for("partition_stopped")
    assert (said["topic"], said["partition"], said["next_offset"]) == (METER, 0, 10)
    assert (said["earliest"], said["end"]) == (40, 100)
    assert "offsets show" in said["help"]
    assert "offsets reset" in said["help"]
    fill(environment, 50, partition=1, first=100)
    until(lambda: replica.metric(STORED) == 50, what="another partition goes on")
    assert replica.metric(STOPPED) == 1
    assert replica.stop() == 1
    [last] = replica.events("partitions_stopped")
    assert last["partitions"] == [f"{METER}/0"]
    assert "offsets reset" in last["help"]
    assert stored(environment)[0] == 10


def test_retention_that_overtakes_a_running_replica_stops_the_partition(
    start: Start, environment: Environment
) -> None:
    """Its memory is full behind a lock, so it stops reading; then what it has not read goes."""
    replica = start(BUFFER_MAX_BYTES="1048576", KAFKA_PARTITION_FETCH_MAX_BYTES="65536")
    replica.wait_for("partitions_opened")
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        connection.execute("LOCK TABLE meter_history")
        fill(environment, 20_000)
        until(lambda: replica.metric("telemetry_buffered_bytes") > 1_048_576, what="crowded")
        delete_records(environment, 0, 20_000)
    said = replica.wait_for("partition_stopped")
    assert said["partition"] == 0
    until(lambda: stored(environment)[0] == said["next_offset"], what="what was read is flushed")
    count = query(environment, "SELECT count(*) FROM meter_history")[0][0]
    assert 0 < count == said["next_offset"] < 20_000
    fill(environment, 50, partition=1, first=20_000)
    until(lambda: replica.metric(STORED) == count + 50, what="another partition goes on")
    assert replica.stop() == 1


def test_a_topic_that_is_made_again_stops_its_partitions_and_no_other(
    start: Start, environment: Environment
) -> None:
    replica = start()
    replica.wait_for("partitions_opened")
    fill(environment, 100)
    until(lambda: replica.metric(STORED) == 100, what="all stored")
    delete_topics(environment)
    missing = [replica.wait_for("topic_missing", times=times)["topic"] for times in (1, 2)]
    assert missing == [METER, "telemetry.vehicle"]
    make_topics(environment)
    fill(environment, 20)
    said = replica.wait_for("partition_stopped")
    assert (said["partition"], said["next_offset"], said["end"]) == (0, 100, 20)
    assert stored(environment)[0] == 100
    fill(environment, 50, partition=1, first=100)
    until(lambda: replica.metric(STORED) == 150, what="another partition goes on")
    assert replica.stop() == 1


def test_a_log_that_has_lost_its_end_stops_the_partition_and_no_other(
    start: Start, broker: Broker, environment: Environment
) -> None:
    """As after an unclean election: the broker comes back without what a replica has read."""
    replica = start()
    fill(environment, 100)
    until(lambda: replica.metric(STORED) == 100, what="all stored")
    broker.kill()
    shutil.rmtree(broker.node.data / f"{METER}-0")
    broker.start()
    said = replica.wait_for("partition_stopped")
    assert (said["partition"], said["next_offset"]) == (0, 100)
    fill(environment, 50, partition=1, first=100)
    until(lambda: replica.metric(STORED) == 150, what="another partition goes on")
    assert stored(environment)[0] == 100
    assert replica.stop() == 1


# The commands.


def test_show_says_what_fits_and_who_owns_it(start: Start, environment: Environment) -> None:
    fill(environment, 100)
    fill(environment, 20, partition=1)
    store(environment, 0, 10)
    store(environment, 1, 1_000)
    delete_records(environment, 0, 40)
    shown = command(environment, "show", "--topic", METER)
    assert shown.returncode == 0
    assert row(shown, METER, 0) == words("10 40 100 60 behind the log start: 30 lost")
    assert row(shown, METER, 1) == words("1000 0 20 0 beyond the end")
    assert row(shown, METER, 2) == words("0 0 0 never read")
    assert "telemetry.vehicle" not in shown.stdout
    start().wait_for("partitions_opened")
    shown = command(environment, "show")
    assert row(shown, METER, 2)[:4] == words("0 0 0 0")
    assert row(shown, METER, 2)[4] == "fits"
    assert row(shown, METER, 2)[-1] == "127.0.0.1"
    assert row(shown, "telemetry.vehicle", 2)[-1] == "127.0.0.1"


def test_show_has_the_stored_offsets_even_if_kafka_is_away(environment: Environment) -> None:
    store(environment, 2, 77)
    with socket.socket() as silent:  # the port is taken, and no server listens
        silent.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{silent.getsockname()[1]}"
        shown = command(environment, "show", KAFKA_BOOTSTRAP_SERVERS=nowhere)
    assert shown.returncode == 0
    assert row(shown, METER, 2) == ["77"]
    assert len(shown.stderr.splitlines()) == 1
    assert "only the stored offsets are shown: Kafka" in shown.stderr


@pytest.mark.parametrize("arguments", ["show", f"reset --topic {METER} --to earliest --dry-run"])
def test_a_user_who_forgets_the_group_is_told_which_one_was_asked_and_which_others_have_offsets(
    environment: Environment, arguments: str
) -> None:
    store(environment, 0, 1)
    store(environment, 1, 1)
    asked = command(environment, *arguments.split(), CONSUMER_GROUP="forgotten")
    assert asked.returncode == 0
    [line] = asked.stderr.splitlines()
    assert line.startswith("forgotten (CONSUMER_GROUP) has no stored offsets of telemetry.meter")
    assert line.endswith(f"; other groups have: {environment['CONSUMER_GROUP']} 2")


def test_reset_is_refused_while_a_replica_owns_the_partitions(
    start: Start, environment: Environment
) -> None:
    replica = start()
    replica.wait_for("partitions_opened")
    refused = reset(environment, "--partition", "1", "--to", "latest", "--yes")
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert "at 127.0.0.1 (partition 1)" in refused.stderr
    assert "KAFKA_SESSION_TIMEOUT_MS" in refused.stderr
    assert replica.stop() == 0
    assert reset(environment, "--partition", "1", "--to", "latest", "--yes").returncode == 0


def test_after_a_reset_the_replicas_go_on_from_there(
    start: Start, environment: Environment
) -> None:
    fill(environment, 100)
    first = start()
    until(lambda: first.metric(STORED) == 100, what="all stored")
    assert first.stop() == 0
    back = reset(environment, "--partition", "0", "--to", "30", "--yes")
    assert back.returncode == 0, back.stderr
    assert row(back, METER, 0) == words("fits 100 30 0 70")
    assert stored(environment)[0] == asyncio.run(committed_offsets(environment))[0] == 30
    second = start()
    until(lambda: second.metric(DUPLICATES) == 70, what="read again")
    assert second.metric(STORED) == 0
    assert second.stop() == 0


@pytest.mark.parametrize(
    ("to", "offset", "skipped", "read_again"),
    [
        ("earliest", 40, 30, 0),
        ("latest", 100, 90, 0),
        ("60", 60, 50, 0),
        ((BEGIN + timedelta(seconds=7)).isoformat(), 70, 60, 0),
        ((BEGIN + timedelta(seconds=7, microseconds=1)).isoformat(), 71, 61, 0),
        ("2099-01-01T00:00:00Z", 100, 90, 0),
    ],
    ids=["earliest", "latest", "offset", "time of a record", "just after it", "no record since"],
)
def test_the_offset_to_continue_from_is_given_in_several_ways(
    environment: Environment, to: str, offset: int, skipped: int, read_again: int
) -> None:
    fill(environment, 100)
    store(environment, 0, 10)
    delete_records(environment, 0, 40)
    step = ["10", str(offset), str(skipped), str(read_again)]
    planned = reset(environment, "--partition", "0", "--to", to, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert row(planned, METER, 0)[-4:] == step
    assert stored(environment) == {0: 10}
    done = reset(environment, "--to", to, "--yes", *(["--partition", "0"] if to == "60" else []))
    assert done.returncode == 0, done.stderr
    assert row(done, METER, 0)[-4:] == step
    others = {} if to == "60" else {1: 0, 2: 0}
    assert stored(environment) == {0: offset} | others


def test_a_time_that_no_message_has_says_what_is_skipped(environment: Environment) -> None:
    fill(environment, 100)
    store(environment, 0, 10)
    planned = reset(environment, "--to", "2099-01-01T00:00:00Z", "--dry-run")
    assert planned.returncode == 0
    [note] = planned.stderr.splitlines()
    assert note.startswith("no message of partition 0 is of 2099-01-01T00:00:00Z or later")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--to", "101", "--partition", "0", "--yes"], "partition 0 has 0 to 100"),
        (["--to", "50", "--yes"], "partition 1 has 0 to 0"),
        (["--to", "yesterday", "--yes"], "yesterday"),
        (["--to", "latest", "--partition", "7", "--yes"], "partition 7"),
        (["--to", "latest"], "--yes"),
    ],
)
def test_a_reset_that_cannot_be_meant_is_one_line_and_exit_code_2(
    environment: Environment, options: list[str], named: str
) -> None:
    fill(environment, 100)
    refused = reset(environment, *options)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert named in refused.stderr
    assert stored(environment) == {}


@pytest.mark.parametrize(("answer", "code", "offset"), [("n", 1, 10), ("y", 0, 100)])
def test_on_a_terminal_it_asks_first(
    environment: Environment, answer: str, code: int, offset: int
) -> None:
    fill(environment, 100)
    store(environment, 0, 10)
    asking = Asked(environment, "--partition", "0", "--to", "latest")
    asking.wait_for_question()
    assert asking.answer(answer) == code
    assert stored(environment) == {0: offset}


def test_an_offset_that_was_moved_meanwhile_is_left_alone(environment: Environment) -> None:
    fill(environment, 100)
    store(environment, 0, 10)
    store(environment, 1, 0)
    asking = Asked(environment, "--to", "latest")
    asking.wait_for_question()
    store(environment, 0, 11)
    assert asking.answer("y") == 1
    assert "partition 0 is no longer" in asking.text
    assert stored(environment) == {0: 11, 1: 0}


class Asked:
    """A reset on a terminal of its own, which has a question."""

    def __init__(self, environment: Environment, *options: str) -> None:
        self._here, there = pty.openpty()
        self.text = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "consumer", "offsets", "reset", "--topic", METER, *options],
            cwd=ROOT,
            env=environ(environment),
            stdin=there,
            stdout=there,
            stderr=there,
        )
        os.close(there)

    def wait_for_question(self) -> None:
        while "[y/N]" not in self.text:
            self._read()

    def answer(self, text: str) -> int:
        """Type the answer and return the exit code."""
        os.write(self._here, f"{text}\n".encode())
        try:
            while True:
                self._read()
        except OSError:  # the other end of the terminal is closed
            os.close(self._here)
        return self._process.wait(PATIENCE_S)

    def _read(self) -> None:
        self.text += " ".join(os.read(self._here, 4_096).decode(errors="replace").split("\r\n"))
