"""Dead letters are sent again by the command line, and each comes to its end."""

import signal
import socket
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from consumer.dead_letters.table import READ_AT_ONCE
from tests import kafka_clients
from tests.acceptance.conftest import Environment, Start, produce, query, until
from tests.acceptance.dead_letters import MARKED, begin, command, end, received, write_letters
from tests.acceptance.readings import meter_message
from tests.acceptance.series import DEAD, STORED


@pytest.fixture
def topic(own_environment: Environment) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    servers = own_environment["KAFKA_BOOTSTRAP_SERVERS"]
    kafka_clients.create_topic(servers, name)
    yield name
    kafka_clients.delete_topic(servers, name)


def test_what_was_too_old_is_stored_after_a_redrive_and_what_is_still_bad_comes_back(
    start: Start, environment: Environment
) -> None:
    short = start(HISTORY_RETENTION_DAYS="1")
    ago = datetime.now(UTC) - timedelta(days=3)
    old = [meter_message(f"mtr-{number}", ago) for number in range(20)]
    produce(environment, "telemetry.meter", [*old, (b"bad", b"{")])
    until(lambda: short.metric(DEAD) == 21, what="all dead-lettered")
    assert short.stop() == 0

    planned = command(environment, "redrive", "--reason", "too_old", "--dry-run")
    assert planned.returncode == 0
    assert "would send 20, leave out 0 already redriven" in planned.stdout
    assert query(environment, MARKED) == [(0,)]

    sent = command(environment, "redrive")
    assert (sent.returncode, sent.stdout, sent.stderr) == (0, "sent 21, left out 0\n", "")
    assert query(environment, MARKED) == [(21,)]
    longer = start()
    until(lambda: longer.metric(STORED) == 20, what="the old readings stored")
    until(lambda: longer.metric(DEAD) == 1, what="the bad one refused again")
    assert query(environment, "SELECT count(*) FROM meter_history") == [(20,)]
    letters = query(
        environment,
        "SELECT count(*), count(redriven_at) FROM dead_letter WHERE reason = 'malformed_json'",
    )
    assert letters == [(2, 1)]

    once_more = command(environment, "redrive", "--reason", "too_old")
    assert once_more.returncode == 0
    assert "sent 0, left out 20\n" in once_more.stdout
    assert "--again" in once_more.stdout
    assert longer.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_redrive_that_is_interrupted_marks_what_it_sent_and_the_next_sends_the_rest(
    own_environment: Environment, topic: str, number: signal.Signals
) -> None:
    write_letters(own_environment, topic, 2_000)
    first = begin(own_environment, "redrive", "--rate", "200")
    until(lambda: query(own_environment, MARKED) > [(0,)], what="the first page marked")
    first.send_signal(number)
    interrupted = end(first)
    assert interrupted.returncode == 128 + number
    marked = query(own_environment, MARKED)[0][0]
    assert interrupted.stdout == f"interrupted: sent {marked:,}, left out 0\n"
    assert interrupted.stderr == ""
    assert 0 < marked < 2_000
    assert received(own_environment, topic) == Counter(range(1, marked + 1))

    second = command(own_environment, "redrive")
    assert second.returncode == 0
    assert second.stdout.startswith(f"sent {2_000 - marked:,}, left out {marked:,}\n")
    assert query(own_environment, MARKED) == [(2_000,)]
    assert received(own_environment, topic) == Counter(range(1, 2_001))


def test_a_redrive_that_is_killed_loses_no_letter(own_environment: Environment, topic: str) -> None:
    write_letters(own_environment, topic, 2_000)
    first = begin(own_environment, "redrive", "--rate", "200")
    until(lambda: query(own_environment, MARKED) > [(0,)], what="the first page marked")
    first.kill()
    end(first)
    # Its session may live a moment longer and hold the page: the command says what it passed over.
    until(
        lambda: (
            command(own_environment, "redrive").returncode == 0
            and query(own_environment, MARKED) == [(2_000,)]
        ),
        what="all marked",
    )
    sent = received(own_environment, topic)
    assert sent.keys() == set(range(1, 2_001))
    assert sent.total() - 2_000 <= READ_AT_ONCE


def test_two_redrives_at_once_send_no_letter_twice(
    own_environment: Environment, topic: str
) -> None:
    write_letters(own_environment, topic, 3_000)
    both = [begin(own_environment, "redrive") for _ in range(2)]
    assert [end(process).returncode for process in both] == [0, 0]
    assert received(own_environment, topic) == Counter(range(1, 3_001))
    assert query(own_environment, MARKED) == [(3_000,)]


def test_without_kafka_a_redrive_says_so_and_marks_nothing(
    own_environment: Environment,
) -> None:
    write_letters(own_environment, "telemetry.meter", 3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        away = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{silent.getsockname()[1]}"}
        ended = command(own_environment | away, "redrive")
    assert ended.returncode == 1
    assert ended.stdout == "sent 0, left out 0\n"
    assert len(ended.stderr.splitlines()) == 1
    assert "Kafka" in ended.stderr
    assert query(own_environment, MARKED) == [(0,)]
