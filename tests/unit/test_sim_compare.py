"""The comparison is clean if all is right, and finds every planted fault under its name."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from producer_sim.devices.chaos import Shares
from producer_sim.oracle import compare as compare_module
from producer_sim.oracle.compare import CHECKS, compare
from producer_sim.runs.load import Load
from producer_sim.runs.plan import Plan
from tests.unit.stored_world import (
    METERS,
    MINUTE_US,
    NOW,
    World,
    cut,
    digest,
    filled,
    send,
    violations,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PLAN = Plan(
    devices=40,
    interval_us=MINUTE_US,
    seed=3,
    start_us=NOW,
    duration_us=30 * MINUTE_US,
    fleet_name=None,
    shares=Shares.of(0.3),
)


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
