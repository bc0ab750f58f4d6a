"""Copies and conflicts, in a batch and with what is stored, are told apart from new readings."""

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta
from functools import partial

import pytest
from psycopg.conninfo import conninfo_to_dict

from consumer.flush.copies import PATIENCE, Copies
from consumer.flush.sink import Sink
from consumer.metrics import Metrics
from consumer.postgres.connection import Connection
from consumer.postgres.database import Database
from telemetry.reasons import Reason
from tests.conftest import FOLDER
from tests.integration.conftest import FLUSH, flush_of, meter_value, rows

MINUTE = timedelta(minutes=1)


@pytest.fixture
def server_errors(database_url: str) -> Callable[[], int]:
    """Count the errors that the server's log has of the test's database."""
    log = FOLDER / "logs" / "postgres.log"
    if not log.exists():
        pytest.skip("the server is none of ours: its log is out of reach")
    line = f"@{conninfo_to_dict(database_url)['dbname']} ERROR: "
    return lambda: log.read_text(errors="replace").count(line)


async def test_copies_and_conflicts_within_a_batch_are_told_apart(
    sink: Sink, connection: Connection
) -> None:
    values = [meter_value(kwh=1), meter_value(kwh=2), meter_value(kwh=1)]
    outcome = await sink.flush(flush_of(values))
    assert (outcome.stored, outcome.duplicates) == (1, 1)
    assert [(letter.position, letter.reason) for letter in outcome.dead_letters] == [
        (1, Reason.CONFLICTING_DUPLICATE)
    ]
    assert await rows(connection, "SELECT kwh_consumed_ac FROM meter_history") == [(1,)]


async def test_copies_and_conflicts_with_what_is_stored_are_told_apart(
    sink: Sink, connection: Connection
) -> None:
    await sink.flush(flush_of([meter_value(kwh=1)]))
    again = [
        meter_value(kwh=2),  # conflicts
        meter_value(kwh=1),  # a copy of the stored one, though not of the one before
        meter_value("mtr-2", kwh=3),  # new
        meter_value("mtr-2", kwh=4),  # conflicts with the new one
        meter_value("mtr-2", kwh=3),  # a copy of the new one
    ]
    outcome = await sink.flush(flush_of(again, believed=1))
    assert (outcome.stored, outcome.duplicates) == (1, 2)
    assert sorted(letter.position for letter in outcome.dead_letters) == [0, 3]
    query = "SELECT meter_id, kwh_consumed_ac FROM {} ORDER BY 1"
    for table in ("meter_history", "meter_current_state"):
        assert await rows(connection, query.format(table)) == [("mtr-1", 1), ("mtr-2", 3)]
    dead = await rows(connection, "SELECT value FROM dead_letter ORDER BY record_offset")
    assert dead == [(again[0],), (again[3],)]


async def test_beside_copies_late_readings_are_stored_and_newer_ones_too(
    sink: Sink, connection: Connection
) -> None:
    first = [meter_value(ago=minutes * MINUTE, kwh=minutes) for minutes in (9, 5)]
    await sink.flush(flush_of(first))
    late, newer = meter_value(ago=7 * MINUTE, kwh=7), meter_value(ago=1 * MINUTE, kwh=1)
    known = Copies()
    for believed, values, stored, copies in (
        (2, [first[0], late, newer, first[1]], 2, 2),  # the first copies that are met
        (6, [late, meter_value(ago=8 * MINUTE, kwh=8), first[0]], 1, 2),  # others are known of
        (9, [meter_value(ago=6 * MINUTE, kwh=6)], 1, 0),  # and none any more
        (10, [late], 0, 1),
    ):
        outcome = await sink.flush(flush_of(values, believed=believed, copies=known))
        assert (outcome.stored, outcome.duplicates) == (stored, copies)
        assert not outcome.dead_letters
    history = await rows(connection, "SELECT kwh_consumed_ac FROM meter_history ORDER BY 1")
    assert history == [(1,), (5,), (6,), (7,), (8,), (9,)]
    assert await rows(connection, "SELECT kwh_consumed_ac FROM meter_current_state") == [(1,)]


async def test_only_the_first_copy_of_many_batches_is_an_error_in_the_server_s_log(
    sink: Sink, connection: Connection, server_errors: Callable[[], int]
) -> None:
    """By turns a batch is new and a copy of the one before; other partitions have none."""
    known, before = Copies(), server_errors()
    for turn in range(40):
        values = [meter_value(f"mtr-{turn // 2}-{n}") for n in range(5)]
        outcome = await sink.flush(flush_of(values, believed=5 * turn, copies=known))
        assert (outcome.stored, outcome.duplicates) == ((0, 5) if turn % 2 else (5, 0))
        await sink.flush(flush_of([meter_value(f"p1-{turn}")], believed=turn, partition=1))
    assert server_errors() - before == 1


async def test_copies_are_expected_until_many_batches_had_none() -> None:
    copies = Copies()
    expected = []
    for met in (False, True, *[False] * PATIENCE, False, True):
        copies.note(met=met)
        expected.append(copies.are_expected)
    assert expected == [False, *[True] * PATIENCE, False, False, True]


async def test_rows_that_are_stored_beyond_the_current_state_are_found_too(
    sink: Sink, connection: Connection
) -> None:
    by_hand = meter_value(ago=1 * MINUTE, kwh=3)
    await sink.flush(flush_of([meter_value(ago=9 * MINUTE)]))
    await sink.flush(flush_of([by_hand], believed=1))
    await connection.execute(
        "UPDATE meter_current_state SET recorded_at = recorded_at - '1 h'::interval"
    )
    # That copies come in is known by the second.
    known = Copies()
    for believed in (2, 3):
        outcome = await sink.flush(flush_of([by_hand], believed=believed, copies=known))
        assert (outcome.stored, outcome.duplicates) == (0, 1)


async def test_concurrent_flushes_of_the_same_devices_do_not_lose_or_double(
    database: Database, metrics: Metrics, connection: Connection
) -> None:
    """A device may turn up in two partitions if a key is missing or wrong."""
    values = [meter_value(f"mtr-{place % 50}", ago=place * MINUTE) for place in range(500)]
    chance = random.Random(7)
    async with (
        aclosing(Sink(database=database, metrics=metrics, timeout=30)) as one,
        aclosing(Sink(database=database, metrics=metrics, timeout=30)) as other,
    ):
        flushes = []
        for sink, partition in ((one, 0), (other, 1)):
            chance.shuffle(values)
            flush = flush_of(values, partition=partition)
            flushes.append(database.patiently(partial(sink.flush, flush), work=FLUSH))
        outcomes = await asyncio.gather(*flushes)
    assert sum(outcome.stored for outcome in outcomes) == 500
    assert sum(outcome.duplicates for outcome in outcomes) == 500
    assert not any(outcome.dead_letters for outcome in outcomes)
