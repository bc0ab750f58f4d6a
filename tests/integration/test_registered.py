"""Readings of registered devices only: what is refused, what is remembered, what comes in later."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from consumer.flush.registered import Registered
from consumer.flush.sink import Sink
from consumer.metrics import Metrics
from consumer.postgres.connection import Connection
from consumer.postgres.database import Database
from telemetry.reasons import Reason
from tests.integration.conftest import flush_of, meter_value, rows


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def strict(database: Database, metrics: Metrics, clock: Clock) -> AsyncIterator[Sink]:
    """A sink that takes readings of registered devices only."""
    registered = Registered(most=2, clock=clock)
    sink = Sink(database=database, metrics=metrics, timeout=30, registered=registered)
    async with aclosing(sink):
        yield sink


async def test_a_reading_of_an_unregistered_device_is_a_dead_letter(
    strict: Sink, connection: Connection
) -> None:
    await connection.execute("INSERT INTO meter (meter_id) VALUES ('mtr-1'), ('mtr-3')")
    # A vehicle of that id is another device.
    await connection.execute("INSERT INTO vehicle (vehicle_id) VALUES ('mtr-2')")
    values = [meter_value(f"mtr-{n}") for n in (2, 1, 2, 3, 1)]
    outcome = await strict.flush(flush_of([*values, b"nonsense"]))
    assert (outcome.stored, outcome.duplicates) == (2, 1)
    ends = {letter.position: letter.reason for letter in outcome.dead_letters}
    unregistered = Reason.UNREGISTERED_DEVICE
    assert ends == {0: unregistered, 2: unregistered, 5: Reason.MALFORMED_JSON}
    # As they came, so that they can be redriven.
    letters = await rows(
        connection,
        "SELECT record_offset, value, reason, detail FROM dead_letter ORDER BY record_offset",
    )
    detail = "meterId: the meter is not registered"
    assert letters[:2] == [(n, values[n], "unregistered_device", detail) for n in (0, 2)]
    for table in ("meter_history", "meter_current_state"):
        assert await rows(connection, f"SELECT meter_id FROM {table} ORDER BY 1") == [
            ("mtr-1",),
            ("mtr-3",),
        ]
    assert await rows(connection, "SELECT devices FROM rollup_due") == [(["mtr-1", "mtr-3"],)]


async def test_a_device_that_is_registered_a_moment_ago_counts(
    strict: Sink, connection: Connection
) -> None:
    outcome = await strict.flush(flush_of([meter_value()]))
    assert (outcome.stored, len(outcome.dead_letters)) == (0, 1)
    await connection.execute("INSERT INTO meter (meter_id) VALUES ('mtr-1')")
    # The same bytes, as a redrive sends them.
    outcome = await strict.flush(flush_of([meter_value()], believed=1))
    assert (outcome.stored, len(outcome.dead_letters)) == (1, 0)


async def test_what_is_registered_is_remembered_a_while(
    strict: Sink, connection: Connection, clock: Clock
) -> None:
    await connection.execute("INSERT INTO meter (meter_id) VALUES ('a'), ('b'), ('c')")
    offset = 0

    async def stored(*devices: str, kwh: float) -> int:
        nonlocal offset
        values = [meter_value(device, kwh=kwh) for device in devices]
        outcome = await strict.flush(flush_of(values, believed=offset))
        offset += len(values)
        return outcome.stored + sum(
            letter.reason is not Reason.UNREGISTERED_DEVICE for letter in outcome.dead_letters
        )

    assert await stored("a", "b", kwh=1) == 2
    # More than are remembered are looked up.
    assert await stored("c", kwh=1) == 1
    await connection.execute("TRUNCATE meter")
    assert await stored("a", "b", "c", kwh=2) == 2
    clock.now += 60
    assert await stored("a", "b", "c", kwh=3) == 0


async def test_without_the_option_nothing_is_asked_of_the_registry(
    sink: Sink, connection: Connection
) -> None:
    await connection.execute("ALTER TABLE meter RENAME TO meter_elsewhere")
    outcome = await sink.flush(flush_of([meter_value()]))
    assert (outcome.stored, outcome.dead_letters) == (1, [])
