"""The commands that show and move stored offsets."""

import asyncio
import socket
import subprocess
from datetime import timedelta

import pytest

from telemetry.streams import METER
from tests.acceptance.conftest import Environment, Start, until
from tests.acceptance.group import committed_offsets
from tests.acceptance.offsets_command import command
from tests.acceptance.own_broker.asked import Asked
from tests.acceptance.own_broker.stored import store, stored
from tests.acceptance.own_broker.topics import BEGIN, delete_records, fill
from tests.acceptance.series import DUPLICATES, STORED

pytestmark = pytest.mark.usefixtures("topics")


def row(ended: subprocess.CompletedProcess[str], topic: str, partition: int) -> list[str]:
    """Return what a table says of the partition, in words."""
    rows = [line.split() for line in ended.stdout.splitlines()]
    [found] = [cells[2:] for cells in rows if cells[:2] == [topic, str(partition)]]
    return found


def words(text: str) -> list[str]:
    return text.split()


def reset(environment: Environment, *options: str) -> subprocess.CompletedProcess[str]:
    return command(environment, "reset", "--topic", METER.topic, *options)


def ask(environment: Environment, *options: str) -> Asked:
    """Begin a reset on a terminal, and return it when it has asked."""
    asking = Asked(environment, "offsets", "reset", "--topic", METER.topic, *options)
    asking.wait_for_question()
    return asking


def test_show_says_what_fits_and_who_owns_it(start: Start, environment: Environment) -> None:
    fill(environment, 100)
    fill(environment, 20, partition=1)
    store(environment, 0, 10)
    store(environment, 1, 1_000)
    delete_records(environment, 0, 40)
    shown = command(environment, "show", "--topic", METER.topic)
    assert shown.returncode == 0
    assert row(shown, METER.topic, 0) == words("10 40 100 60 behind the log start: 30 lost")
    assert row(shown, METER.topic, 1) == words("1000 0 20 0 beyond the end")
    assert row(shown, METER.topic, 2) == words("0 0 0 never read")
    assert "telemetry.vehicle" not in shown.stdout
    start().wait_for("partitions_opened")
    shown = command(environment, "show")
    assert row(shown, METER.topic, 2)[:4] == words("0 0 0 0")
    assert row(shown, METER.topic, 2)[4] == "fits"
    assert row(shown, METER.topic, 2)[-1] == "127.0.0.1"
    assert row(shown, "telemetry.vehicle", 2)[-1] == "127.0.0.1"


def test_show_has_the_stored_offsets_even_if_kafka_is_away(environment: Environment) -> None:
    store(environment, 2, 77)
    with socket.socket() as silent:  # the port is taken, and no server listens
        silent.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{silent.getsockname()[1]}"
        shown = command(environment, "show", KAFKA_BOOTSTRAP_SERVERS=nowhere)
    assert shown.returncode == 0
    assert row(shown, METER.topic, 2) == ["77"]
    assert len(shown.stderr.splitlines()) == 1
    assert "only the stored offsets are shown: Kafka" in shown.stderr


@pytest.mark.parametrize(
    "arguments", ["show", "reset --topic telemetry.meter --to earliest --dry-run"]
)
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
    assert row(back, METER.topic, 0) == words("fits 100 30 0 70")
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
    assert row(planned, METER.topic, 0)[-4:] == step
    assert stored(environment) == {0: 10}
    done = reset(environment, "--to", to, "--yes", *(["--partition", "0"] if to == "60" else []))
    assert done.returncode == 0, done.stderr
    assert row(done, METER.topic, 0)[-4:] == step
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
    asking = ask(environment, "--partition", "0", "--to", "latest")
    assert asking.answer(answer) == code
    assert stored(environment) == {0: offset}


def test_an_offset_that_was_moved_meanwhile_is_left_alone(environment: Environment) -> None:
    fill(environment, 100)
    store(environment, 0, 10)
    store(environment, 1, 0)
    asking = ask(environment, "--to", "latest")
    store(environment, 0, 11)
    assert asking.answer("y") == 1
    assert "partition 0 is no longer" in asking.text
    assert stored(environment) == {0: 11, 1: 0}
