"""The sender against the test broker inside librdkafka, which needs no server."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from typer.testing import CliRunner

from producer_sim.__main__ import app
from producer_sim.devices.chaos import Shares
from producer_sim.devices.records import Records
from producer_sim.ledger.ledger import Ledger, parts
from producer_sim.runs.load import Load
from producer_sim.runs.plan import Plan
from producer_sim.sending import sender as sender_module
from producer_sim.sending import transmit as transmit_module
from producer_sim.sending.pace import Pace, Policy
from producer_sim.sending.sender import Sender, SenderError
from producer_sim.sending.stop import Stop
from producer_sim.sending.transmit import transmit
from runtime.kafka.librdkafka_log import SILENT
from runtime.kafka.settings import KafkaSettings
from telemetry.streams import STREAMS
from telemetry.timestamps import SECOND_US

NOW = 1_770_717_600_000_000
PLAN = Plan(
    devices=100,
    interval_us=60 * SECOND_US,
    seed=1,
    start_us=NOW,
    duration_us=600 * SECOND_US,
    fleet_name=None,
    shares=Shares.of(0.2),
)


@pytest.fixture
def broker() -> Iterator[Producer]:
    """A client that runs the broker; the broker ends with the client."""
    client = Producer({"bootstrap.servers": "x", "test.mock.num.brokers": 1}, logger=SILENT)
    yield client
    client.close()


@pytest.fixture
def kafka(broker: Producer) -> KafkaSettings:
    (address,) = broker.list_topics(timeout=10).brokers.values()
    return KafkaSettings(bootstrap_servers=f"{address.host}:{address.port}")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(directory=tmp_path / "ledger", metadata={}, now_us=NOW)


def transmitted(kafka: KafkaSettings, ledger: Ledger, stop: Stop) -> list[str]:
    said: list[str] = []
    sender = Sender(kafka=kafka, book=ledger, stop=stop, say=said.append)
    assert sender.connect()
    pace = Pace(policy=Policy.free(rate=None), start_us=NOW, now_us=NOW)
    transmit(Load(PLAN).chunks(), sender=sender, book=ledger, pace=pace, stop=stop)
    ledger.close()
    return said


def rows_of(ledger: Ledger) -> list[dict[str, object]]:
    tables = [pq.read_table(part) for part in parts(ledger.directory)]
    rows: list[dict[str, object]] = pa.concat_tables(tables).to_pylist()
    return rows


def records_of(plan: Plan) -> Records:
    chunks = list(Load(plan).chunks())
    return sum(chunks[1:], chunks[0])


def assert_the_ledger_is_true(ledger: Ledger, kafka: KafkaSettings) -> None:
    """Check that each message is at the ledger's offset, and that the order is that of sending."""
    sent, rows = records_of(PLAN), rows_of(ledger)
    assert len(rows) == len(sent)
    assert {row["delivery"] for row in rows} == {"acknowledged"}
    in_topics = consumed(kafka, len(rows))
    for index, row in enumerate(rows):
        place = (row["topic"], row["partition"], row["record_offset"])
        assert in_topics[place] == (sent.keys[index], sent.values[index] or None)
    last: dict[tuple[object, object], int] = {}
    for row in rows:
        lane, offset = (row["topic"], row["partition"]), row["record_offset"]
        assert isinstance(offset, int)
        assert offset == last.get(lane, -1) + 1
        last[lane] = offset


def consumed(
    kafka: KafkaSettings, count: int
) -> dict[tuple[object, ...], tuple[bytes | None, bytes | None]]:
    consumer = Consumer(
        kafka.librdkafka() | {"group.id": "check", "auto.offset.reset": "earliest"},
        logger=SILENT,
    )
    metadata = consumer.list_topics(timeout=10)
    consumer.assign(
        [
            TopicPartition(stream.topic, partition, 0)
            for stream in STREAMS
            for partition in metadata.topics[stream.topic].partitions
        ]
    )
    found: dict[tuple[object, ...], tuple[bytes | None, bytes | None]] = {}
    while len(found) < count:
        for message in consumer.consume(1_000, timeout=0.2):
            assert message.error() is None
            place = (message.topic(), message.partition(), message.offset())
            found[place] = (message.key(), message.value() or None)
    consumer.close()
    return found


def test_every_message_is_where_the_ledger_says(kafka: KafkaSettings, ledger: Ledger) -> None:
    assert transmitted(kafka, ledger, Stop()) == []
    assert ledger.tally.complete
    assert_the_ledger_is_true(ledger, kafka)


def test_a_full_queue_loses_nothing_and_keeps_the_order(
    kafka: KafkaSettings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sender_module._CONFIGURATION, "queue.buffering.max.messages", 50)
    transmitted(kafka, ledger, Stop())
    assert_the_ledger_is_true(ledger, kafka)


def test_a_message_that_the_broker_never_answers_is_unknown_after_a_stop(
    kafka: KafkaSettings, ledger: Ledger, broker: Producer
) -> None:
    stop, said = Stop(), list[str]()
    sender = Sender(kafka=kafka, book=ledger, stop=stop, say=said.append)
    assert sender.connect()
    records = records_of(PLAN)
    sender.send(records.between(0, 100), NOW)
    sender.flush(10)
    broker.close()
    sender.send(records.between(100, 200), NOW)
    while not said:
        sender.wait(0.1)
    stop.request()
    stop.request()
    sender.flush(60)
    sender.close()
    ledger.close()
    assert [row["delivery"] for row in rows_of(ledger)] == ["acknowledged"] * 100 + [
        "unknown"
    ] * 100
    assert (ledger.tally.acknowledged, ledger.tally.unknown) == (100, 100)
    assert len(said) == 1
    assert "waiting for the broker" in said[0]


def test_a_stop_before_the_broker_answers_ends_the_wait(ledger: Ledger) -> None:
    stop, said = Stop(), list[str]()
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    sender = Sender(kafka=kafka, book=ledger, stop=stop, say=said.append)
    stop.request()
    assert not sender.connect()


def test_settings_that_the_client_refuses_fail_in_one_line(ledger: Ledger, tmp_path: Path) -> None:
    no_certificate = tmp_path / "ca.pem"
    no_certificate.write_text("none")
    # Without validation: our settings would refuse it first.
    kafka = KafkaSettings.model_construct(
        bootstrap_servers="127.0.0.1:1", security_protocol="SSL", ssl_cafile=no_certificate
    )
    with pytest.raises(SenderError, match="cannot start") as caught:
        Sender(kafka=kafka, book=ledger, stop=Stop(), say=print)
    assert "\n" not in str(caught.value)


@pytest.fixture
def without_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [*os.environ]:
        if name.startswith(("KAFKA_", "DATABASE_", "CONSUMER_")):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run"], 2, "KAFKA_BOOTSTRAP_SERVERS: is not set"),
        (["run", "--chaos", "2"], 2, "--chaos"),
        (["run", "--duration", "90"], 2, "90s"),
        (["run", "--gaps", "0.7", "--late", "0.7"], 2, "sum"),
        (["run", "--start", "2099-01-01T00:00:00Z"], 2, "future"),
        (["run", "--ledger", "x", "--no-ledger"], 2, "exclude"),
        (["replay", "missing.csv"], 2, "missing.csv"),
        (["verify", "missing"], 2, "DATABASE_URL: is not set"),
    ],
)
def test_wrong_use_fails_with_exit_code_2_and_a_reason(
    without_settings: Path, arguments: list[str], code: int, said: str
) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code
    assert said in result.output


def test_a_used_directory_and_one_without_a_ledger_are_wrong_use(
    without_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (without_settings / "note").touch()
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/none")
    for command in (["run", "--ledger"], ["verify"]):
        result = CliRunner().invoke(app, [*command, str(without_settings)])
        assert result.exit_code == 2
        assert result.output.count("\n") == 1
        assert str(without_settings) in result.output


def test_an_unreachable_database_fails_the_check_in_one_line(
    without_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(directory=without_settings / "ledger", metadata={}, now_us=NOW)
    [reported] = ledger.enter(records_of(PLAN).between(0, 1), [0], NOW)
    reported(None, Message(topic="t", partition=0, offset=0, key=None, value=None, error=None))
    ledger.close()
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/none")
    result = CliRunner().invoke(app, ["verify", str(without_settings / "ledger")])
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "database" in result.output


def test_an_empty_ledger_fails_the_check_in_one_line(
    without_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ledger(directory=without_settings / "ledger", metadata={}, now_us=NOW).close()
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/none")
    result = CliRunner().invoke(app, ["verify", str(without_settings / "ledger")])
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "holds no acknowledged message" in result.output


def test_a_broker_that_takes_connections_and_does_not_answer_keeps_no_stop_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transmit_module, "_ANSWER_SECONDS", 0.2)
    stop, said = Stop(), []

    def say(line: str) -> None:
        said.append(line)
        stop.request()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        kafka = KafkaSettings(bootstrap_servers=address)
        assert not transmit_module.create_missing_topics(kafka, stop, say)
    assert said == [f"waiting for the broker at {address}: no answer within 0.2 s"]
