"""Dead letters as an operator meets them: redriven, exported, purged, by the command line."""

import asyncio
import base64
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from aiokafka.errors import KafkaError
from confluent_kafka import TopicPartition
from pydantic import SecretStr
from typer.testing import CliRunner

from consumer.__main__ import app, main
from consumer.dead_letters import delivery
from consumer.dead_letters.delivery import Tally
from consumer.dead_letters.redrive import Redrive
from consumer.dead_letters.table import READ_AT_ONCE, Choice
from consumer.postgres.connection import connect
from consumer.settings import DatabaseSettings
from deploy.local.stack import Addresses
from deploy.replica import PATIENCE_S, ROOT, Replica
from runtime.kafka.settings import KafkaSettings
from tests import kafka_clients
from tests.acceptance.broker import Broker
from tests.acceptance.conftest import Environment, environ, produce, query, until
from tests.acceptance.series import DEAD, STORED

Ended = subprocess.CompletedProcess[str]
MARKED = "SELECT count(*) FROM dead_letter WHERE redriven_at IS NOT NULL"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker.started(tmp_path)
    yield broker
    broker.kill()


@pytest.fixture
def own_environment(servers: Addresses, database_url: str, group: str) -> Environment:
    """The settings of a group whose letters come from a topic that no other test reads."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
        "DATABASE_URL": database_url,
        "CONSUMER_GROUP": group,
    }


@pytest.fixture
def topic(own_environment: Environment) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    servers = own_environment["KAFKA_BOOTSTRAP_SERVERS"]
    kafka_clients.create_topic(servers, name)
    yield name
    kafka_clients.delete_topic(servers, name)


def begin(environment: Environment, *arguments: str) -> subprocess.Popen[str]:
    """Start a command on dead letters, without a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "consumer", "dead-letters", *arguments],
        cwd=ROOT,
        env=environ(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> Ended:
    """Wait for the command's end."""
    output, errors = process.communicate(timeout=PATIENCE_S)
    return Ended(process.args, process.returncode, output, errors)


def command(environment: Environment, *arguments: str) -> Ended:
    return end(begin(environment, *arguments))


def write_letters(environment: Environment, topic: str, count: int) -> None:
    """Write dead letters whose values are 1 to `count`."""
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        connection.execute(
            "INSERT INTO dead_letter SELECT %s, %s, 0, n, NULL, n::text::bytea, '[]', now(),"
            " 'malformed_json', 'detail', now() - n * interval '1 day'"
            " FROM generate_series(1, %s) AS n",
            [environment["CONSUMER_GROUP"], topic, count],
        )


def received(environment: Environment, topic: str) -> Counter[int]:
    """Return how often the topic holds each value."""
    found: Counter[int] = Counter()
    with kafka_clients.consumer(environment["KAFKA_BOOTSTRAP_SERVERS"]) as consumer:
        _, last = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=PATIENCE_S)
        consumer.assign([TopicPartition(topic, 0, 0)])
        while found.total() < last:
            messages = consumer.consume(1_000, timeout=1)
            found.update(int(message.value() or b"") for message in messages)
    return found


def aged_reading(device: str, age: timedelta) -> bytes:
    reading = {
        "meterId": device,
        "kwhConsumedAc": 0.5,
        "voltage": 230.0,
        "timestamp": (datetime.now(UTC) - age).isoformat(),
    }
    return json.dumps(reading).encode()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("list", 0),
        ("list --reason malformed_json", 0),
        ("show telemetry.meter 0 3", 1),
        ("redrive", 0),
        ("redrive --dry-run", 0),
        ("export", 0),
        ("purge --older-than 1m --yes", 0),
        ("purge --older-than 1m --dry-run", 0),
    ],
)
def test_a_user_who_forgets_the_group_is_told_which_one_was_asked_and_which_others_have_letters(
    own_environment: Environment, arguments: str, code: int
) -> None:
    write_letters(own_environment, "telemetry.meter", 9)
    forgotten = {k: v for k, v in own_environment.items() if k != "CONSUMER_GROUP"}
    ended = command(forgotten, *arguments.split())
    assert ended.returncode == code
    said = " ".join((ended.stdout + ended.stderr).split())
    count = 1 if arguments.startswith("show") else 9
    assert "telemetry-consumer (CONSUMER_GROUP) has no " in said
    assert f"; other groups have: {own_environment['CONSUMER_GROUP']} {count}" in said
    other = command(forgotten, "list", "--reason", "too_old")
    assert other.stdout == "telemetry-consumer (CONSUMER_GROUP) has no such dead letters\n"


def test_what_was_too_old_is_stored_after_a_redrive_and_what_is_still_bad_comes_back(
    start: Callable[..., Replica], environment: Environment
) -> None:
    short = start(HISTORY_RETENTION_DAYS="1")
    old = [
        (f"mtr-{number}".encode(), aged_reading(f"mtr-{number}", timedelta(days=3)))
        for number in range(20)
    ]
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


def test_a_broker_that_dies_in_mid_redrive_leaves_the_rest_unmarked(
    broker: Broker, database_url: str, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.node.address,
        "DATABASE_URL": database_url,
        "CONSUMER_GROUP": group,
    }
    kafka_clients.create_topic(broker.node.address, "own")
    write_letters(environment, "own", 500)
    monkeypatch.setattr(delivery, "PAGE_PATIENCE_S", 3.0)
    tally = Tally()

    async def run() -> None:
        async with await connect(DatabaseSettings(database_url=SecretStr(database_url))) as session:
            await Redrive(
                connection=session,
                kafka=KafkaSettings(bootstrap_servers=broker.node.address),
                choice=Choice(consumer_group=group),
                again=False,
                rate=None,
                stopping=asyncio.Event(),
                tally=tally,
            ).run(on_page=broker.kill)

    with pytest.raises(KafkaError):
        asyncio.run(run())
    assert tally.sent == READ_AT_ONCE
    assert query(environment, MARKED) == [(READ_AT_ONCE,)]
    broker.start()
    assert command(environment, "redrive").returncode == 0
    assert query(environment, MARKED) == [(500,)]
    assert received(environment, "own") == Counter(range(1, 501))


def test_an_export_is_every_letter_whole_and_never_overwrites(
    own_environment: Environment, tmp_path: Path
) -> None:
    write_letters(own_environment, "telemetry.meter", 250)
    file = tmp_path / "letters.jsonl"
    written = command(own_environment, "export", "--file", str(file))
    assert written.returncode == 0
    lines = file.read_text()
    letters = [json.loads(line) for line in lines.splitlines()]
    assert [int(base64.b64decode(letter["value"])) for letter in letters] == [*range(1, 251)]
    assert command(own_environment, "export").stdout == lines

    refused = command(own_environment, "export", "--file", str(file))
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    one = ("--topic", "telemetry.meter", "--partition", "0", "--offset", "7")
    assert command(own_environment, "export", "--file", str(file), "--force", *one).returncode == 0
    assert json.loads(file.read_text())["offset"] == 7
    nowhere = command(
        own_environment | {"DATABASE_URL": "postgresql://127.0.0.1:9/x"},
        *("export", "--file", str(file), "--force"),
    )
    assert nowhere.returncode == 1
    assert len(nowhere.stderr.splitlines()) == 1
    assert json.loads(file.read_text())["offset"] == 7, "it was replaced only by a whole one"
    assert list(tmp_path.iterdir()) == [file]


def test_a_letter_that_is_not_whole_is_told_by_every_command(
    own_environment: Environment,
) -> None:
    write_letters(own_environment, "telemetry.meter", 3)
    with psycopg.connect(own_environment["DATABASE_URL"]) as connection:
        connection.execute(
            "UPDATE dead_letter SET is_whole = false, key_bytes = 7, value_bytes = 5000,"
            " value_sha256 = sha256('x'), header_count = 2 WHERE record_offset = 2"
        )
    listed = command(own_environment, "list").stdout
    assert "not whole" in listed
    assert [line.count(" beginning ") for line in listed.splitlines()].count(1) == 1
    shown = command(own_environment, "show", "telemetry.meter", "0", "2").stdout
    assert "the beginning of a key of 7 bytes, 2 headers, a value of 5,000 bytes" in shown
    assert sha256(b"x").hexdigest() in shown
    planned = command(own_environment, "redrive", "--dry-run").stdout
    assert planned.endswith("would send 2, leave out 0 already redriven, 1 not whole\n")


def test_of_a_huge_letter_the_beginning_is_shown(own_environment: Environment) -> None:
    write_letters(own_environment, "telemetry.meter", 3)
    with psycopg.connect(own_environment["DATABASE_URL"]) as connection:
        connection.execute(
            "UPDATE dead_letter SET value = repeat('v', 4000000)::bytea,"
            " key = repeat('k', 70000)::bytea,"
            " headers = jsonb_build_array(jsonb_build_array('n', repeat('h', 70000)))"
            " WHERE record_offset = 2"
        )
    shown = command(own_environment, "show", "telemetry.meter", "0", "2").stdout
    assert [shown.count(letter) // 1_000 for letter in "vkh"] == [65, 65, 65]
    assert "`export` has all 4,000,000 bytes" in shown
    assert "`export` has all 70,000 bytes" in shown
    assert "`export` has all of them" in shown


def test_a_purge_wants_a_yes_and_deletes_by_age(own_environment: Environment) -> None:
    write_letters(own_environment, "telemetry.meter", 40)  # one for each of the last 40 days
    asked = command(own_environment, "purge", "--older-than", "30d")
    assert (asked.returncode, asked.stdout) == (2, "")
    assert "--yes" in asked.stderr
    planned = command(own_environment, "purge", "--older-than", "30d", "--dry-run")
    assert planned.returncode == 0
    assert planned.stdout.endswith("would delete 11\n")
    assert query(own_environment, "SELECT count(*) FROM dead_letter") == [(40,)]
    none = command(own_environment, "purge", "--older-than", "30d", "--redriven-only", "--yes")
    assert none.stdout.endswith("deleted 0\n")
    done = command(own_environment, "purge", "--older-than", "30d", "--yes")
    assert done.returncode == 0
    assert done.stdout.endswith("deleted 11\n")
    left = query(own_environment, "SELECT min(record_offset), max(record_offset) FROM dead_letter")
    assert left == [(1, 29)]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["redrive", "--topic", "nonsense"], "--topic"),
        (["redrive", "--partition", "3"], "--topic"),
        (["redrive", "--topic", "telemetry.meter", "--offset", "3"], "--partition"),
        (["export", "--since", "yesterday"], "--since"),
        (["list", "--until", "2026-02-30T00:00:00Z"], "--until"),
        (["purge", "--older-than", "a month", "--yes"], "--older-than"),
        (["purge", "--older-than", "999999d", "--yes"], "--older-than"),
        (["purge", "--older-than", "800000d", "--yes"], "--older-than"),
        (["list", "--since", "9999-12-31T23:59:59-23:59"], "--since"),
        (["redrive", "--until", "9999-12-31T23:59:59-00:01"], "--until"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    arguments: list[str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:9/x")
    monkeypatch.setattr(sys, "argv", ["consumer", "dead-letters", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert named in line


def test_every_command_of_the_runbook_runs(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is wrong use. An answer such as "no such dead letter" is fine."""
    text = (ROOT / "docs" / "runbook.md").read_text()
    shown = re.findall(r"^ {4,}((?:[A-Z_]+=|python |psql ).+)$", text, re.MULTILINE)
    assert len(shown) >= 15
    monkeypatch.chdir(tmp_path)
    for line in shown:
        words = shlex.split(line, comments=True)
        if words[0] == "psql":
            for statement in words[3::2]:
                with psycopg.connect(environment["DATABASE_URL"]) as connection:
                    connection.execute(statement.encode())
            continue
        start = words.index("python")
        settings = dict(word.split("=") for word in words[:start])
        assert words[start : start + 3] == ["python", "-m", "consumer"]
        ended = CliRunner().invoke(app, words[start + 3 :], env=environment | settings)
        assert ended.exit_code in (0, 1), (line, ended.output)
        assert ended.exception is None or isinstance(ended.exception, SystemExit), line
