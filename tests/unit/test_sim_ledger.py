"""The ledger is complete, in order, and readable at any time."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import KafkaError, Message

from producer_sim.devices.chaos import Shares
from producer_sim.devices.kinds import READING
from producer_sim.devices.records import NO_TIME, Records
from producer_sim.ledger import part as part_module
from producer_sim.ledger.book import Unrecorded
from producer_sim.ledger.ledger import Ledger, LedgerError, parts, read_metadata
from producer_sim.ledger.reports import NO_OFFSET
from producer_sim.runs.load import Load
from producer_sim.runs.plan import Plan
from telemetry.streams import STREAMS
from telemetry.timestamps import SECOND_US

NOW = 1_770_717_600_000_000
REFUSED = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
GIVEN_UP = KafkaError(KafkaError._PURGE_INFLIGHT)


def records_of(devices: int = 40) -> Records:
    plan = Plan(
        devices=devices,
        interval_us=60 * SECOND_US,
        seed=1,
        start_us=NOW,
        duration_us=120 * SECOND_US,
        fleet_name=None,
        shares=Shares.of(0.5),
    )
    chunks = list(Load(plan).chunks())
    return sum(chunks[1:], chunks[0])


def acknowledged(offset: int) -> tuple[None, Message]:
    return None, Message(topic="t", partition=0, offset=offset, key=None, value=None, error=None)


def opened(directory: Path) -> Ledger:
    return Ledger(directory=directory, metadata={"seed": 1}, now_us=NOW)


def read(directory: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pa.concat_tables(
        map(pq.read_table, parts(directory))
    ).to_pylist()
    return rows


def test_the_ledger_holds_every_message_with_all_that_is_known(tmp_path: Path) -> None:
    ledger, records = opened(tmp_path / "ledger"), records_of()
    reporters = ledger.enter(records, [index % 3 for index in range(len(records))], NOW + 7)
    for index, take in reversed(list(enumerate(reporters))):
        take(*acknowledged(1_000 + index))
    ledger.close()

    rows = read(tmp_path / "ledger")
    assert len(rows) == len(records)
    for index, row in enumerate(rows):
        sent = records.row(index)
        stream = STREAMS[sent.stream]
        measures = dict(zip(stream.measures, sent.measures, strict=False))
        assert row == {
            "sequence": index,
            "topic": stream.topic,
            "partition": index % 3,
            "record_offset": 1_000 + index,
            "key": sent.key,
            "device_id": sent.device_id,
            "recorded_at": None if sent.recorded_at == NO_TIME else sent.recorded_at,
            **{name: measures.get(name) for name in part_module.MEASURES},
            "canonical": sent.kind.canonical,
            "value": None if sent.kind.canonical else sent.value,
            "kind": sent.kind.name,
            "expected": sent.kind.expected,
            "reason": sent.kind.reason,
            "delivery": "acknowledged",
            "sent_at": NOW + 7,
        }
    assert {row["kind"] for row in rows} > {READING.name, "late", "conflict", "duplicate"}


def test_reports_may_arrive_in_any_order(tmp_path: Path) -> None:
    ledger, records = opened(tmp_path / "ledger"), records_of().between(0, 5)
    reporters = ledger.enter(records, [0] * 5, NOW)
    reporters[4](*acknowledged(4))
    reporters[2](REFUSED, None)
    reporters[0](GIVEN_UP, None)
    reporters[1](*acknowledged(NO_OFFSET))
    ledger.close()
    known = [(row["delivery"], row["record_offset"]) for row in read(tmp_path / "ledger")]
    assert known == [
        ("unknown", None),
        ("acknowledged", None),
        ("failed", None),
        ("unknown", None),
        ("acknowledged", 4),
    ]
    assert (ledger.tally.acknowledged, ledger.tally.failed, ledger.tally.unknown) == (2, 1, 2)
    assert not ledger.tally.complete
    assert read_metadata(tmp_path / "ledger")["counts"] == {
        "sent": 5,
        "acknowledged": 2,
        "failed": 1,
        "unknown": 2,
    }


def test_a_part_is_written_once_it_and_all_parts_before_it_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_module, "PART_ROWS", 10)
    directory = tmp_path / "ledger"
    ledger, records = opened(directory), records_of()
    first = ledger.enter(records.between(0, 10), [0] * 10, NOW)
    ledger.settle(NOW)
    second = ledger.enter(records.between(10, 20), [0] * 10, NOW)
    ledger.settle(NOW)
    for offset, take in enumerate(second, start=10):
        take(*acknowledged(offset))
    ledger.settle(NOW)
    assert parts(directory) == []
    assert read_metadata(directory)["closed"] is False

    for offset, take in enumerate(first):
        take(*acknowledged(offset))
    ledger.settle(NOW)
    # If the simulator is killed from here on, the written parts are complete.
    assert [row["sequence"] for row in read(directory)] == list(range(20))
    assert {path.name for path in directory.iterdir()} == {
        "ledger.json",
        "part-000001.parquet",
        "part-000002.parquet",
    }
    ledger.close()
    assert read_metadata(directory)["closed"] is True
    assert len(parts(directory)) == 2


def test_a_slow_run_writes_parts_by_time(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "ledger")
    (take,) = ledger.enter(records_of().between(0, 1), [0], NOW)
    take(*acknowledged(0))
    ledger.settle(NOW + 29 * SECOND_US)
    assert parts(tmp_path / "ledger") == []
    ledger.settle(NOW + 30 * SECOND_US)
    assert len(parts(tmp_path / "ledger")) == 1


def test_an_empty_ledger_is_a_ledger(tmp_path: Path) -> None:
    opened(tmp_path / "a" / "b").close()
    assert parts(tmp_path / "a" / "b") == []
    assert read_metadata(tmp_path / "a" / "b")["seed"] == 1


def test_a_directory_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note").touch()
    for directory in (tmp_path, tmp_path / "note"):
        with pytest.raises(LedgerError) as caught:
            opened(directory)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [None, "", "[]", json.dumps({"format": 99})])
def test_a_directory_without_a_ledger_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "ledger.json").write_text(text)
    with pytest.raises(LedgerError, match="not a ledger"):
        read_metadata(tmp_path)


def test_messages_are_counted_without_a_ledger_too() -> None:
    book, records = Unrecorded(), records_of().between(0, 4)
    one, two, three, _ = book.enter(records, [0] * 4, NOW)
    one(*acknowledged(0))
    two(*acknowledged(1))
    three(REFUSED, None)
    assert book.tally.waiting == 1
    book.close()
    tally = book.tally
    assert (tally.sent, tally.acknowledged, tally.failed, tally.unknown) == (4, 2, 1, 1)


def test_a_damaged_part_and_another_parquet_file_are_named(tmp_path: Path) -> None:
    opened(tmp_path / "ledger").close()
    part = tmp_path / "ledger" / "part-000001.parquet"
    part.write_bytes(b"PAR1 no")
    with pytest.raises(LedgerError, match="part-000001"):
        parts(tmp_path / "ledger")
    pq.write_table(pa.table({"a": [1]}), part)
    with pytest.raises(LedgerError, match="not a part"):
        parts(tmp_path / "ledger")
