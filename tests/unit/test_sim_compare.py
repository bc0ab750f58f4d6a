"""The comparison is clean if all is right, and finds every planted fault under its name."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from confluent_kafka import KafkaError, Message

from producer_sim.devices.chaos import Shares
from producer_sim.devices.kinds import CONFLICT, DUPLICATE, READING, Kind, Outcome
from producer_sim.devices.messages import canonical
from producer_sim.devices.records import NO_TIME, Record, Records
from producer_sim.ledger.ledger import EmptyLedgerError, Ledger, LedgerError
from producer_sim.ledger.reports import NO_OFFSET
from producer_sim.oracle import compare as compare_module
from producer_sim.oracle.compare import CHECKS, check_not_empty, compare, load_ledgers, workspace
from producer_sim.oracle.verdict import Report
from producer_sim.runs.load import Load
from producer_sim.runs.plan import Plan
from producer_sim.sending.partitions import Partitions
from telemetry.reasons import Reason
from telemetry.streams import METER, STREAMS
from telemetry.timestamps import SECOND_US

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NOW = 1_770_717_600_000_000
MINUTE_US = 60 * SECOND_US
METERS = METER.topic
PADDED = b"x" * 70_000
FAILED = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
UNKNOWN = KafkaError(KafkaError._PURGE_INFLIGHT)
PLAN = Plan(
    devices=40,
    interval_us=MINUTE_US,
    seed=3,
    start_us=NOW,
    duration_us=30 * MINUTE_US,
    fleet_name=None,
    shares=Shares.of(0.3),
)

Key = tuple[str, str, int]


def digest(data: bytes | None) -> str | None:
    return None if data is None else sha256(data).hexdigest()


def cut(data: bytes) -> str:
    """Return what a dead letter that is not whole keeps of its value."""
    return f"{len(data)} {digest(data)} {digest(data[:1_024])}"


@dataclass
class World:
    """A broker and a consumer without faults, small enough to be obviously right."""

    history: dict[Key, tuple[float | None, ...]] = field(default_factory=dict)
    dead: list[tuple[object, ...]] = field(default_factory=list)
    ends: dict[tuple[str, int], int] = field(default_factory=dict)

    def append(self, record: Record, partition: int) -> int:
        """Store or dead-letter a record, and return its offset."""
        topic = STREAMS[record.stream].topic
        offset = self.ends.get((topic, partition), 0)
        self.ends[topic, partition] = offset + 1
        reason: str | None = record.kind.reason
        if record.recorded_at != NO_TIME:
            key = (topic, record.device_id, record.recorded_at)
            stored = self.history.setdefault(key, record.measures)
            reason = None if stored == record.measures else "conflicting_duplicate"
        if reason is not None:
            place = (topic, partition, offset)
            self.dead.append((*place, digest(record.key), digest(record.value), reason, False))
        return offset

    def refuse(self, record: Record, reason: str, *, redriven: bool) -> None:
        """Dead-letter the next record of partition 0, whatever it holds."""
        topic = STREAMS[record.stream].topic
        offset = self.ends.get((topic, 0), 0)
        self.ends[topic, 0] = offset + 1
        letter = (digest(record.key), digest(record.value), reason, redriven)
        self.dead.append((topic, 0, offset, *letter))

    def fill(self, tables: "DuckDBPyConnection") -> None:
        rows = [(*key, *padded(measures)) for key, measures in self.history.items()]
        newest = {row[:2]: row for row in sorted(rows)}.values()
        for table, content in (
            ("history", rows),
            ("newest", list(newest)),
            ("current_state", list(newest)),
            ("dead_letter", self.dead),
            ("progress", [(*place, end) for place, end in self.ends.items()]),
        ):
            if content:
                columns = [pa.array(column) for column in zip(*content, strict=True)]
                names = [f"column_{index}" for index in range(len(columns))]
                tables.register("content", pa.table(columns, names=names))
                tables.execute(f"INSERT INTO {table} SELECT * FROM content")
                tables.unregister("content")


def padded(measures: tuple[float | None, ...]) -> tuple[float | None, ...]:
    return measures + (0.0,) * (3 - len(measures))


def send(directory: Path, world: World, records: Records) -> None:
    """Acknowledge all records, and let the world take them."""
    ledger = Ledger(directory=directory, metadata={}, now_us=NOW)
    partitions = Partitions(count=3)
    chosen = [
        partitions[key] if key is not None else partitions.without_key(value)
        for key, value in zip(records.keys, records.values, strict=True)
    ]
    for index, take in enumerate(ledger.enter(records, chosen, NOW)):
        take(None, message(world.append(records.row(index), chosen[index])))
    ledger.close()


def message(offset: int) -> Message:
    return Message(topic="t", partition=0, offset=offset, key=None, value=None, error=None)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    directory, world = tmp_path_factory.mktemp("sent") / "ledger", World()
    chunks = list(Load(PLAN).chunks())
    send(directory, world, sum(chunks[1:], chunks[0]))
    return directory, world


@pytest.fixture
def tables(sent: tuple[Path, World], tmp_path: Path) -> "Iterator[DuckDBPyConnection]":
    directory, world = sent
    with filled(tmp_path, world, directory) as connection:
        yield connection


@contextmanager
def filled(folder: Path, world: World, *ledgers: Path) -> "Iterator[DuckDBPyConnection]":
    with workspace(folder) as connection:
        assert load_ledgers(connection, list(ledgers)) == ()
        world.fill(connection)
        yield connection


def violations(report: Report) -> dict[str, int]:
    return {check.name: check.violations for check in report.checks if check.violations}


@pytest.mark.parametrize("exact", [False, True])
def test_a_world_without_faults_is_clean(
    tables: "DuckDBPyConnection", sent: tuple[Path, World], exact: bool
) -> None:
    report = compare(tables, exact=exact)
    assert report.clean
    assert report.counts == dict.fromkeys(CHECKS, 0)
    totals, world = report.totals, sent[1]
    assert totals["stored"] == len(world.history)
    assert totals["dead letters"] == len(world.dead)
    assert totals["duplicates"] > 100
    consumed = totals["stored"] + totals["duplicates"] + totals["dead letters"]
    assert totals["messages"] == totals["acknowledged"] == consumed
    by_reason = {name: count for name, count in totals.items() if name.startswith("dead letters:")}
    assert len(by_reason) == 12
    assert sum(by_reason.values()) == totals["dead letters"]


# One reading that is not its device's newest, and that only one message carries.
A_READING = """
    (topic, device_id, recorded_at) = (
        SELECT (topic, device_id, recorded_at) FROM message SEMI JOIN history
        USING (topic, device_id, recorded_at)
        WHERE topic = 'telemetry.vehicle'
        GROUP BY topic, device_id, recorded_at HAVING count(*) = 1
        ORDER BY recorded_at, device_id LIMIT 1
    )"""
AN_UNTOLD_READING = """
    (topic, device_id, recorded_at) = (
        SELECT (topic, device_id, recorded_at) FROM history
        WHERE topic = 'telemetry.meter' AND m2 IS NULL
        ORDER BY recorded_at, device_id LIMIT 1
    )"""
A_DEAD_LETTER = """
    (topic, partition, record_offset) = (
        SELECT (topic, partition, record_offset) FROM dead_letter WHERE reason = '{}' LIMIT 1
    )"""
A_TOMBSTONE = """
    (topic, partition, record_offset) = (
        SELECT (topic, partition, record_offset) FROM dead_letter
        WHERE reason = 'empty_value' AND value_sha256 IS NULL LIMIT 1
    )"""
A_DEVICE = "device_id = 'mtr-00007'"
DEAD_LETTER_OF_A_READING = f"""
    INSERT INTO dead_letter
    SELECT topic, partition, record_offset, key_sha256, 'x', 'wrong_type', false FROM message
    WHERE {A_READING}"""
DEAD_LETTER_OF_A_DUPLICATE = """
    INSERT INTO dead_letter
    SELECT topic, partition, max(record_offset), 'k', 'v', 'conflicting_duplicate', false
    FROM message WHERE recorded_at IS NOT NULL
    GROUP BY topic, partition, device_id, recorded_at, m1, m2, m3 HAVING count(*) = 2
    LIMIT 1"""


def changed_dead_letter(reason: str, change: str) -> str:
    return f"UPDATE dead_letter SET {change} WHERE {A_DEAD_LETTER.format(reason)}"


def missing_dead_letter(reason: str) -> str:
    return f"DELETE FROM dead_letter WHERE {A_DEAD_LETTER.format(reason)}"


FAULTS = {
    "reading lost": (f"DELETE FROM history WHERE {A_READING}", {"lost": 1}),
    "last bit flipped": (
        f"UPDATE history SET m1 = m1 * (1 + 2.3e-16) WHERE {A_READING}",
        {"altered": 1},
    ),
    "measure missing": (f"UPDATE history SET m3 = NULL WHERE {A_READING}", {"altered": 1}),
    "measure of its own": (f"UPDATE history SET m2 = 1 WHERE {AN_UNTOLD_READING}", {"altered": 1}),
    "two rows": (f"INSERT INTO history SELECT * FROM history WHERE {A_READING}", {"doubled": 1}),
    "never sent": (
        f"""INSERT INTO history SELECT topic, device_id, recorded_at + 1, m1, m2, m3
        FROM history WHERE {A_READING}""",
        {"invented": 1},
    ),
    "stored and dead": (DEAD_LETTER_OF_A_READING, {"doubled": 1, "wrong_outcome": 1}),
    "dead, not stored": (
        f"{DEAD_LETTER_OF_A_READING}; DELETE FROM history WHERE {A_READING}",
        {"lost": 1, "wrong_outcome": 1},
    ),
    "duplicate dead": (DEAD_LETTER_OF_A_DUPLICATE, {"wrong_outcome": 1}),
    "malformed vanished": (missing_dead_letter("too_old"), {"wrong_outcome": 1}),
    "conflict vanished": (missing_dead_letter("conflicting_duplicate"), {"wrong_outcome": 1}),
    "other reason": (
        changed_dead_letter("wrong_type", "reason = 'out_of_range'"),
        {"wrong_outcome": 1},
    ),
    "other reason for a conflict": (
        changed_dead_letter("conflicting_duplicate", "reason = 'rejected_by_database'"),
        {"wrong_outcome": 1},
    ),
    "other bytes": (
        changed_dead_letter("malformed_json", "value_sha256 = 'other'"),
        {"wrong_outcome": 1},
    ),
    "other bytes of a conflict": (
        changed_dead_letter("conflicting_duplicate", "value_sha256 = 'other'"),
        {"wrong_outcome": 1},
    ),
    "value gone": (
        changed_dead_letter("malformed_json", "value_sha256 = NULL"),
        {"wrong_outcome": 1},
    ),
    "beginning that it does not have": (
        changed_dead_letter("malformed_json", f"value_sha256 = '{cut(b'x' * 2_000)}'"),
        {"wrong_outcome": 1},
    ),
    "key gone": (changed_dead_letter("malformed_json", "key_sha256 = NULL"), {"wrong_outcome": 1}),
    "tombstone stored as no bytes": (
        f"UPDATE dead_letter SET value_sha256 = '{digest(b'')}' WHERE {A_TOMBSTONE}",
        {"wrong_outcome": 1},
    ),
    "current state of other values": (
        f"UPDATE current_state SET m2 = m2 + 0.1 WHERE {A_DEVICE}",
        {"current_state": 1},
    ),
    "current state stale": (
        f"UPDATE current_state SET recorded_at = recorded_at - 1 WHERE {A_DEVICE}",
        {"current_state": 1},
    ),
    "current state too new": (
        f"UPDATE current_state SET recorded_at = recorded_at + 1 WHERE {A_DEVICE}",
        {"current_state": 1},
    ),
    "current state missing": (f"DELETE FROM current_state WHERE {A_DEVICE}", {"current_state": 1}),
    "current state of nothing": (f"DELETE FROM newest WHERE {A_DEVICE}", {"current_state": 1}),
    "one message behind": (
        """UPDATE progress SET next_offset = next_offset - 1
        WHERE topic = 'telemetry.meter' AND partition = 1""",
        {"not_consumed": 1},
    ),
    "never consumed": (
        "DELETE FROM progress WHERE topic = 'telemetry.meter'",
        {"not_consumed": 3},
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_by_its_own_check(tables: "DuckDBPyConnection", name: str) -> None:
    fault, expected = FAULTS[name]
    tables.execute(fault)
    report = compare(tables)
    assert violations(report) == expected
    assert not report.clean
    for check in report.checks:
        assert len(check.examples) == min(check.violations, 5)
        for example in check.examples:
            assert example.problem in str(example)


def test_buckets_of_devices_give_the_same_result_as_all_at_once(
    tables: "DuckDBPyConnection", monkeypatch: pytest.MonkeyPatch
) -> None:
    faults, _ = zip(*FAULTS.values(), strict=True)
    tables.execute(";".join(faults))
    whole = compare(tables)
    monkeypatch.setattr(compare_module, "_BUCKET_ROWS", 500)
    in_buckets = compare(tables)
    assert in_buckets.counts == whole.counts
    assert sorted(in_buckets.totals.items()) == sorted(whole.totals.items())


def test_minus_zero_equals_zero(tables: "DuckDBPyConnection") -> None:
    changed = tables.execute("UPDATE history SET m2 = -0.0 WHERE m2 = 0").fetchall()[0][0]
    assert changed > 100
    assert compare(tables).clean


def test_rows_of_others_count_only_in_an_exact_check(
    tables: "DuckDBPyConnection",
) -> None:
    tables.execute(
        "INSERT INTO history VALUES"
        f" ('{METERS}', 'another', {NOW}, 1, 2, 0),"
        f" ('{METERS}', 'mtr-00007', {NOW - 1}, 1, 2, 0),"
        f" ('{METERS}', 'mtr-00007', {NOW + 31 * MINUTE_US}, 1, 2, 0)"
    )
    tables.execute(
        f"INSERT INTO dead_letter VALUES ('{METERS}', 0, 10000000, 'k', 'v', 'too_old', false)"
    )
    assert violations(compare(tables)) == {}


def test_an_exact_check_accounts_for_every_row(tables: "DuckDBPyConnection") -> None:
    tables.execute(f"INSERT INTO history VALUES ('{METERS}', 'another', {NOW}, 1, 2, 0)")
    tables.execute(
        f"INSERT INTO dead_letter VALUES ('{METERS}', 0, 10000000, 'k', 'v', 'too_old', false)"
    )
    assert violations(compare(tables, exact=True)) == {"invented": 2}


def reading(energy: float, kind: Kind = READING, minute: int = 0) -> Record:
    recorded_at = NOW + minute * MINUTE_US
    value = canonical(METER, "m", (energy, 230.0), recorded_at)
    return Record(0, "m", b"m", value, recorded_at, (energy, 230.0), kind, recorded_at)


class Case:
    """Ledgers written by hand: each message with its report or its offset."""

    def __init__(self, folder: Path) -> None:
        self.world = World()
        self._folder = folder
        self.ledgers: list[Path] = []

    def ledger(self, *entries: tuple[Record, KafkaError | int]) -> None:
        directory = self._folder / f"ledger-{len(self.ledgers)}"
        book = Ledger(directory=directory, metadata={}, now_us=NOW)
        records = Records.of([record for record, _ in entries])
        for take, (_, report) in zip(
            book.enter(records, [0] * len(entries), NOW), entries, strict=True
        ):
            if isinstance(report, KafkaError):
                take(report, None)
            else:
                take(None, message(report))
        book.close()
        self.ledgers.append(directory)

    def violations(self, *, exact: bool = False) -> dict[str, int]:
        with filled(self._folder, self.world, *self.ledgers) as connection:
            return violations(compare(connection, exact=exact))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_a_message_of_unknown_fate_may_be_stored_or_not(case: Case) -> None:
    case.ledger((reading(1.0), UNKNOWN), (reading(2.0, minute=1), UNKNOWN))
    case.world.append(reading(2.0, minute=1), 0)
    assert case.violations(exact=True) == {}


def test_a_message_of_unknown_fate_may_not_be_altered(case: Case) -> None:
    case.ledger((reading(1.0), UNKNOWN))
    case.world.append(reading(1.5), 0)
    assert case.violations() == {"altered": 1}


def test_a_failed_message_must_not_be_stored(case: Case) -> None:
    case.ledger((reading(1.0), FAILED))
    case.world.append(reading(1.0), 0)
    assert case.violations() == {"invented": 1}


def test_a_duplicate_is_stored_if_its_original_failed(case: Case) -> None:
    case.ledger((reading(1.0), FAILED), (reading(1.0, DUPLICATE), 0))
    case.world.append(reading(1.0), 0)
    assert case.violations(exact=True) == {}


def test_a_duplicate_of_an_original_that_failed_can_be_lost(case: Case) -> None:
    case.ledger((reading(1.0), FAILED), (reading(1.0, DUPLICATE), 0))
    case.world.ends[METERS, 0] = 1
    assert case.violations() == {"lost": 1}


def test_a_conflict_is_stored_if_its_original_failed(case: Case) -> None:
    case.ledger((reading(1.0), FAILED), (reading(2.0, CONFLICT), 0))
    case.world.append(reading(2.0), 0)
    assert case.violations(exact=True) == {}


def test_either_of_two_may_be_first_if_an_offset_is_unknown(case: Case) -> None:
    case.ledger((reading(1.0), NO_OFFSET), (reading(2.0, CONFLICT), 1))
    case.world.append(reading(1.0), 0)
    case.world.append(reading(2.0), 0)
    assert case.violations(exact=True) == {}


def test_the_known_second_of_two_must_be_dead_lettered_if_it_differs(case: Case) -> None:
    case.ledger((reading(1.0), UNKNOWN), (reading(2.0, CONFLICT), 1))
    case.world.append(reading(1.0), 0)
    case.world.ends[METERS, 0] = 2
    assert case.violations() == {"wrong_outcome": 1}


def test_the_first_in_offset_order_decides_even_against_the_ledgers_expectation(case: Case) -> None:
    case.ledger((reading(1.0), 1), (reading(2.0, CONFLICT), 0))
    case.world.append(reading(2.0), 0)
    case.world.append(reading(1.0), 0)
    assert case.violations(exact=True) == {}


def test_the_later_of_two_conflicting_readings_must_not_be_the_stored_one(case: Case) -> None:
    case.ledger((reading(1.0), 1), (reading(2.0, CONFLICT), 0))
    case.world.append(reading(1.0), 0)
    case.world.append(reading(2.0), 0)
    assert case.violations() == {"altered": 1, "wrong_outcome": 1}


def test_two_ledgers_are_compared_as_one(case: Case) -> None:
    case.ledger((reading(1.0), 0))
    case.ledger((reading(1.0), 1), (reading(3.0, minute=2), 2))
    for energy, minute in ((1.0, 0), (1.0, 0), (3.0, 2)):
        case.world.append(reading(energy, minute=minute), 0)
    assert case.violations(exact=True) == {}


def test_a_dead_letter_of_a_canonical_reading_has_the_readings_bytes(case: Case) -> None:
    case.ledger((reading(1.0), 0))
    case.ledger((reading(2.0), 1))
    case.world.append(reading(1.0), 0)
    case.world.append(reading(2.0), 0)
    assert case.violations(exact=True) == {}


def test_a_dead_letter_of_a_canonical_reading_with_other_bytes_is_found(case: Case) -> None:
    case.ledger((reading(1.0), 0))
    case.ledger((reading(2.0), 1))
    case.world.append(reading(1.0), 0)
    case.world.append(reading(2.0)._replace(value=b"{}"), 0)
    assert case.violations() == {"wrong_outcome": 1}


def test_others_may_have_written_between_the_times_of_two_ledgers(case: Case) -> None:
    case.ledger((reading(1.0), 0))
    case.ledger((reading(3.0, minute=2), 2))
    for minute in (0, 1, 2):
        case.world.append(reading(1.0 + minute, minute=minute), 0)
    assert case.violations() == {}


def test_an_empty_ledger_and_one_of_one_kind_of_device_are_checked(case: Case) -> None:
    case.ledger()
    case.ledger((reading(1.0), 0))
    case.world.append(reading(1.0), 0)
    assert case.violations(exact=True) == {}


@pytest.mark.parametrize("report", [None, FAILED, UNKNOWN])
def test_a_ledger_without_an_acknowledged_message_is_named(
    case: Case, tmp_path: Path, report: KafkaError | None
) -> None:
    """Such a ledger would be clean whatever is stored."""
    case.ledger((reading(1.0), 0))
    case.ledger(*([] if report is None else [(reading(2.0), report)]))
    full, empty = case.ledgers
    with filled(tmp_path, case.world, full, empty) as connection:
        check_not_empty(connection, [full])
        with pytest.raises(EmptyLedgerError, match="ledger-1: holds no acknowledged message"):
            check_not_empty(connection, [full, empty])


def test_a_directory_without_a_ledger_is_refused(tmp_path: Path) -> None:
    with workspace(tmp_path) as connection, pytest.raises(LedgerError):
        load_ledgers(connection, [tmp_path])


def test_a_ledger_that_was_not_closed_is_named(tmp_path: Path) -> None:
    Ledger(directory=tmp_path / "killed", metadata={}, now_us=NOW)
    with workspace(tmp_path) as connection:
        assert load_ledgers(connection, [tmp_path / "killed"]) == (str(tmp_path / "killed"),)


@pytest.mark.parametrize(
    ("told", "replaced", "expected"),
    [
        ("", "", {}),
        ("70000 ", "70001 ", {"wrong_outcome": 1}),
        (str(digest(PADDED)), "other", {"wrong_outcome": 1}),
        (str(digest(PADDED[:1_024])), "other", {"wrong_outcome": 1}),
    ],
    ids=["as sent", "length", "digest", "beginning"],
)
def test_a_letter_that_is_not_whole_is_compared_by_length_digest_and_beginning(
    case: Case, told: str, replaced: str, expected: dict[str, int]
) -> None:
    kind = Kind("malformed_padded", Outcome.DEAD_LETTERED, Reason.OVERSIZED)
    sent = reading(0.0, kind)._replace(recorded_at=NO_TIME, value=PADDED)
    case.ledger((sent, 0))
    case.world.append(sent, 0)
    *place, key, _, reason, redriven = case.world.dead.pop()
    case.world.dead.append((*place, key, cut(PADDED).replace(told, replaced), reason, redriven))
    assert case.violations() == expected


REFUSED_ONCE = "unregistered_device"


@pytest.mark.parametrize("copies", [1, 2], ids=["one message", "a duplicate"])
def test_a_redriven_letter_whose_copy_is_stored_is_right(case: Case, copies: int) -> None:
    case.ledger(*((reading(1.0), offset) for offset in range(copies)))
    for _ in range(copies):
        case.world.refuse(reading(1.0), REFUSED_ONCE, redriven=True)
    case.world.append(reading(1.0), 0)
    assert case.violations(exact=True) == {}


def test_a_redriven_conflict_may_have_been_refused_for_another_reason_at_first(case: Case) -> None:
    case.ledger((reading(1.0), 0), (reading(2.0, CONFLICT), 1))
    for energy in (1.0, 2.0):
        case.world.refuse(reading(energy), REFUSED_ONCE, redriven=True)
    for energy in (1.0, 2.0):
        case.world.append(reading(energy), 0)
    assert case.violations() == {}


def test_a_redriven_letter_whose_copy_is_not_stored_is_lost(case: Case) -> None:
    case.ledger((reading(1.0), 0))
    case.world.refuse(reading(1.0), REFUSED_ONCE, redriven=True)
    assert case.violations() == {"lost": 1, "wrong_outcome": 1}


def test_a_stored_reading_whose_letter_was_not_redriven_is_doubled(case: Case) -> None:
    case.ledger((reading(1.0), 0))
    case.world.refuse(reading(1.0), REFUSED_ONCE, redriven=False)
    case.world.append(reading(1.0), 0)
    assert case.violations() == {"doubled": 1}


def test_a_redriven_letter_must_have_the_bytes_that_were_sent(case: Case) -> None:
    case.ledger((reading(1.0), 0))
    case.world.refuse(reading(1.0)._replace(value=b"{}"), REFUSED_ONCE, redriven=True)
    case.world.append(reading(1.0), 0)
    assert case.violations() == {"wrong_outcome": 1}
