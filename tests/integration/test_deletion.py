"""A device's readings are deleted from history by an operator, while replicas write."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import psycopg
import pytest
from typer.testing import CliRunner

from consumer.__main__ import app
from consumer.flush.copies import Copies
from consumer.flush.sink import Sink
from consumer.postgres.connection import Connection
from consumer.upkeep.deletion import Window, count_readings, delete_readings, is_known
from telemetry.streams import METER
from tests.integration.conftest import NOW, flush_of, meter_value, rows
from tests.integration.days import until_a_session_waits

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)
LEFT = "SELECT recorded_at FROM meter_history ORDER BY 1"
STATE = "SELECT recorded_at, kwh_consumed_ac, voltage FROM meter_current_state"


async def sent(
    sink: Sink, connection: Connection, *times: datetime, device: str = "mtr-1", kwh: float = 0.5
) -> None:
    """Let a meter have sent readings."""
    [(start,)] = await rows(connection, "SELECT max(next_offset) FROM ingest_offset")
    assert isinstance(start, int)
    values = [meter_value(device, ago=NOW - at, kwh=kwh) for at in times]
    await sink.flush(flush_of(values, believed=start))


def window(start: datetime, end: datetime, *, device: str = "mtr-1") -> Window:
    return Window(stream=METER, device=device, start=start, end=end)


async def delete(operator: Connection, chosen: Window) -> list[int]:
    """Delete what is found, and return how many readings went each day."""
    days = [day.day for day in await count_readings(operator, chosen)]
    deleted: list[int] = []
    await delete_readings(operator, chosen, days, stopping=asyncio.Event(), on_day=deleted.append)
    return deleted


async def left(connection: Connection) -> list[object]:
    return [at for (at,) in await rows(connection, LEFT)]


def ago(*minutes: int) -> Sequence[datetime]:
    return [NOW - n * MINUTE for n in minutes]


async def test_the_start_stays_and_the_end_goes(
    sink: Sink, connection: Connection, operator: Connection
) -> None:
    await sent(sink, connection, *ago(4, 3, 2, 1))
    await sent(sink, connection, *ago(3, 2), device="mtr-2")
    start, _, end, newest = ago(4, 3, 2, 1)
    assert await delete(operator, window(start, end)) == [2]
    assert await rows(
        connection, "SELECT meter_id, recorded_at FROM meter_history ORDER BY 1, 2"
    ) == [
        ("mtr-1", start),
        ("mtr-1", newest),
        *[("mtr-2", at) for at in ago(3, 2)],
    ]
    assert await delete(operator, window(start, end)) == []


async def test_each_day_is_counted_and_deleted_alone(
    sink: Sink, connection: Connection, operator: Connection
) -> None:
    before = timedelta(microseconds=1)
    times = [MIDNIGHT - DAY - before, MIDNIGHT - DAY, MIDNIGHT - before, MIDNIGHT]
    await sent(sink, connection, *times[:2], kwh=3)
    await sent(sink, connection, *times[2:], MIDNIGHT - 5 * DAY, kwh=5)
    chosen = window(MIDNIGHT - 3 * DAY, MIDNIGHT)
    first, second, third = await count_readings(operator, chosen)
    assert (first.readings, second.readings, third.readings) == (1, 2, 1)
    assert (second.day, second.first, second.last) == (times[1].date(), times[1], times[2])
    assert (second.lowest, second.highest) == (3, 5)
    assert await delete(operator, chosen) == [1, 2, 1]
    assert await left(connection) == [MIDNIGHT - 5 * DAY]


async def test_what_goes_is_noted_for_the_rollups(
    sink: Sink, connection: Connection, operator: Connection
) -> None:
    await sent(sink, connection, *ago(2, 1))
    await connection.execute("TRUNCATE rollup_due")
    await delete(operator, window(*ago(3, 1)))
    [(stream, devices)] = await rows(connection, "SELECT stream, devices FROM rollup_due")
    assert (stream, set(devices)) == ("meter", {"mtr-1"})  # type: ignore[call-overload]  # an array


async def test_current_state_becomes_the_newest_reading_that_is_left(
    sink: Sink, connection: Connection, operator: Connection
) -> None:
    kept, wrong = ago(3 * 1440, 1)
    await sent(sink, connection, kept - DAY, wrong, kwh=1000)
    await sent(sink, connection, kept, kwh=7)
    [(before,)] = await rows(connection, "SELECT updated_at FROM meter_current_state")
    await delete(operator, window(*ago(2, 1)))
    assert await rows(connection, STATE) == [(kept, 7, 229.8)]
    # Listeners are told, and the next reading counts again.
    [(after,)] = await rows(connection, "SELECT updated_at FROM meter_current_state")
    assert after > before  # type: ignore[operator]  # times
    await sent(sink, connection, *ago(1440))
    assert await rows(connection, STATE) == [(NOW - DAY, 0.5, 229.8)]


async def test_current_state_stays_if_older_readings_go(
    sink: Sink, connection: Connection, operator: Connection
) -> None:
    await sent(sink, connection, *ago(3, 2, 1))
    query = "SELECT xmin::text, * FROM meter_current_state"
    before = await rows(connection, query)
    await delete(operator, window(*ago(4, 2)))
    # Its row is locked (xmax), and not written.
    assert await rows(connection, query) == before
    assert await left(connection) == ago(1)


async def test_a_device_of_which_nothing_is_left_has_no_current_state(
    sink: Sink, connection: Connection, operator: Connection
) -> None:
    await sent(sink, connection, *ago(3 * 1440, 1))
    await sent(sink, connection, *ago(1), device="mtr-2")
    await delete(operator, window(*ago(4 * 1440, 0)))
    assert await rows(connection, "SELECT meter_id FROM meter_current_state") == [("mtr-2",)]
    assert not await is_known(operator, window(*ago(2, 1)))
    assert await is_known(operator, window(*ago(2, 1), device="mtr-2"))
    # One that sends again begins anew.
    await sent(sink, connection, *ago(1))
    assert await left(connection) == [*ago(1), *ago(1)]


@pytest.mark.parametrize("minutes", [2, 5], ids=["newer than what is left", "older"])
async def test_a_reading_that_comes_meanwhile_is_kept_and_counts(
    sink: Sink, connection: Connection, operator: Connection, minutes: int
) -> None:
    kept, wrong = ago(4, 1)
    await sent(sink, connection, kept, wrong)
    async with operator.transaction():
        assert await delete(operator, window(wrong - MINUTE, wrong)) == [1]
        value = meter_value(ago=minutes * MINUTE, kwh=0.75)
        flushing = asyncio.create_task(sink.flush(flush_of([value], believed=2)))
        await until_a_session_waits(connection)
        assert not flushing.done()
    assert (await flushing).stored == 1
    assert await left(connection) == sorted([kept, NOW - minutes * MINUTE])
    [(newest, _, _)] = await rows(connection, STATE)
    assert newest == max(kept, NOW - minutes * MINUTE)


async def test_a_deletion_waits_for_a_flush_and_sees_its_readings(
    sink: Sink, connection: Connection, operator: Connection, replica: Connection
) -> None:
    kept, wrong, came = ago(4, 2, 1)
    await sent(sink, connection, kept, wrong)
    async with replica.transaction():
        for change in (
            "INSERT INTO meter_history VALUES ('mtr-1', %s, 0.75, 230)",
            "UPDATE meter_current_state SET recorded_at = %s, kwh_consumed_ac = 0.75",
        ):
            await replica.execute(change, [came])
        deleting = asyncio.create_task(delete(operator, window(kept, wrong)))
        await until_a_session_waits(connection)
        assert not deleting.done()
    assert await deleting == [1]
    assert await left(connection) == [kept, came]
    assert await rows(connection, STATE) == [(came, 0.75, 229.8)]


async def test_a_deleted_reading_that_is_sent_again_is_stored_again(
    sink: Sink, connection: Connection, operator: Connection
) -> None:
    copies = Copies()
    copies.note(met=True)  # looked for by current state
    await sent(sink, connection, *ago(3, 1))
    await delete(operator, window(*ago(2, 1)))
    values = [meter_value(ago=3 * MINUTE), meter_value(ago=MINUTE)]
    outcome = await sink.flush(flush_of(values, believed=2, copies=copies))
    assert (outcome.stored, outcome.duplicates) == (1, 1)


async def test_an_interrupted_deletion_ends_after_a_day(
    sink: Sink, connection: Connection, operator: Connection
) -> None:
    await sent(sink, connection, *(NOW - n * DAY for n in (3, 2, 1)))
    chosen, stop = window(NOW - 4 * DAY, NOW), asyncio.Event()
    days = [day.day for day in await count_readings(operator, chosen)]
    await delete_readings(operator, chosen, days, stopping=stop, on_day=lambda _: stop.set())
    assert await left(connection) == [NOW - 2 * DAY, NOW - DAY]
    assert await delete(operator, chosen) == [1, 1]


# The command


def run(*arguments: str, answer: str | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["history", "delete", *arguments], input=answer)
    return result.exit_code, " ".join(result.output.split())


TIMES = ("--start", "2026-01-01T00:00:00Z", "--end", "2026-01-03T00:00:00Z")


@pytest.fixture
def stored(database_url: str, monkeypatch: pytest.MonkeyPatch) -> psycopg.Connection:
    """Lend a session; a meter has two readings a day of four days."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    connection = psycopg.connect(database_url, autocommit=True)
    connection.execute(
        "CREATE TABLE one_month PARTITION OF meter_history"
        " FOR VALUES FROM ('2026-01-01Z') TO ('2026-02-01Z');"
        " INSERT INTO meter_history SELECT 'mtr-1', at, 2, 230, now()"
        " FROM generate_series('2026-01-01 06:00Z', '2026-01-04 18:00Z', interval '12h') AS at;"
        " INSERT INTO vehicle (vehicle_id) VALUES ('veh-1')"
    )
    return connection


def test_the_command_counts_asks_and_deletes(stored: psycopg.Connection) -> None:
    with stored:
        code, said = run("--meter", "mtr-1", *TIMES)
        assert (code, "--yes" in said) == (2, True)
        code, said = run("--meter", "mtr-1", *TIMES, "--dry-run")
        assert (code, "would delete 4" in said) == (0, True)
        shown = "meter mtr-1 4 2 2026-01-01 06:00:00 2026-01-02 18:00:00 2.000 2.000"
        assert shown in said
        assert stored.execute("SELECT count(*) FROM meter_history").fetchone() == (8,)
        code, said = run("--meter", "mtr-1", *TIMES, "--yes")
        assert (code, said.endswith("deleted 4")) == (0, True)
        assert stored.execute("SELECT count(*) FROM meter_history").fetchone() == (4,)


@pytest.mark.parametrize(("answer", "ends"), [("n", (1, 8)), ("y", (0, 4))])
def test_the_command_does_what_is_answered(
    stored: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    ends: tuple[int, int],
) -> None:
    monkeypatch.setattr("consumer.commands.history.need_an_answer", lambda **_: None)
    with stored:
        # Nothing to delete is nothing to ask about.
        code, said = run("--vehicle", "veh-1", *TIMES, answer="n\n")
        assert (code, said.endswith("deleted 0")) == (0, True)
        code, said = run("--meter", "mtr-1", *TIMES, answer=f"{answer}\n")
        assert "delete 4 readings of meter mtr-1 for good?" in said
        assert ("nothing was deleted" in said) == (answer == "n")
        [(kept,)] = stored.execute("SELECT count(*) FROM meter_history").fetchall()
    assert (code, kept) == ends


def test_nothing_in_the_window_is_no_failure_and_an_unknown_device_is(
    stored: psycopg.Connection,
) -> None:
    earlier = ("--start", "2025-01-01T00:00:00Z", "--end", "2025-01-03T00:00:00Z")
    with stored:
        for device in (("--meter", "mtr-1"), ("--vehicle", "veh-1")):
            code, said = run(*device, *earlier, "--dry-run")
            assert (code, said.endswith("would delete 0")) == (0, True)
            code, said = run(*device, *earlier, "--yes")
            assert (code, said.endswith("deleted 0")) == (0, True)
        for device in (("--meter", "veh-1"), ("--vehicle", "mtr-1")):
            for how in ("--dry-run", "--yes"):
                code, said = run(*device, *TIMES, how)
                assert code == 1
                assert said.startswith("error: ")
                assert "is not registered, and no reading of it is stored" in said


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((*TIMES, "--yes"), "--meter, --vehicle: exactly one"),
        (("--meter", "a", "--vehicle", "b", *TIMES, "--yes"), "--meter, --vehicle: exactly one"),
        (("--meter", "a b", *TIMES, "--yes"), "--meter: 'a b' is not a device's id"),
        (("--vehicle", "", *TIMES, "--yes"), "--vehicle: '' is not a device's id"),
        (("--meter", "a", "--start", "yesterday", *TIMES[2:], "--yes"), "--start: 'yesterday'"),
        (("--meter", "a", *TIMES[:2], "--end", "1999-01-01T00:00:00Z", "--yes"), "--end: '1999"),
        (("--meter", "a", *TIMES[:3], TIMES[1], "--yes"), "--start: is not before --end"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    database_url: str, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], named: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    code, said = run(*arguments)
    assert (code, said.startswith(f"error: {named}")) == (2, True)


def test_a_database_that_is_away_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost:1/none")
    code, said = run("--meter", "a", *TIMES, "--yes")
    assert (code, said.startswith("error: PostgreSQL: ")) == (1, True)
