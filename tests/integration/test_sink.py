"""One flush on a real PostgreSQL: all of a batch or nothing, each message to its one end."""

import asyncio
import base64
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import timedelta
from functools import partial

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from consumer.errors import CommitUnknown, Fenced
from consumer.flush.copies import PATIENCE, Copies
from consumer.flush.outcome import Outcome
from consumer.flush.sink import Sink, Unsettled
from consumer.metrics import Metrics
from consumer.postgres.connection import Connection
from consumer.postgres.database import Database
from telemetry.reasons import Reason
from telemetry.streams import VEHICLE
from tests.conftest import FOLDER
from tests.integration.conftest import FLUSH, NOW, flush_of, meter_value, record, rows

MINUTE = timedelta(minutes=1)


@pytest.fixture
def server_errors(database_url: str) -> Callable[[], int]:
    """Count the errors that the server's log has of the test's database."""
    log = FOLDER / "logs" / "postgres.log"
    if not log.exists():
        pytest.skip("the server is none of ours: its log is out of reach")
    line = f"@{conninfo_to_dict(database_url)['dbname']} ERROR: "
    return lambda: log.read_text(errors="replace").count(line)


def reasons(outcome: Outcome) -> list[Reason]:
    return [letter.reason for letter in outcome.dead_letters]


async def test_a_batch_lands_in_history_current_state_offset_and_dead_letters(
    sink: Sink, connection: Connection
) -> None:
    values = [
        meter_value("mtr-2", ago=3 * MINUTE, kwh=0.1),
        meter_value("mtr-1", ago=1 * MINUTE, kwh=0.2),
        b"not json",
        meter_value("mtr-2", ago=2 * MINUTE, kwh=0.3),
    ]
    outcome = await sink.flush(flush_of(values))
    assert (outcome.stored, outcome.duplicates, reasons(outcome)) == (
        3,
        0,
        [Reason.MALFORMED_JSON],
    )
    history = (
        "SELECT meter_id, recorded_at, kwh_consumed_ac, voltage FROM meter_history ORDER BY 1, 2"
    )
    assert await rows(connection, history) == [
        ("mtr-1", NOW - MINUTE, 0.2, 229.8),
        ("mtr-2", NOW - 3 * MINUTE, 0.1, 229.8),
        ("mtr-2", NOW - 2 * MINUTE, 0.3, 229.8),
    ]
    state = "SELECT meter_id, kwh_consumed_ac FROM meter_current_state ORDER BY 1"
    assert await rows(connection, state) == [("mtr-1", 0.2), ("mtr-2", 0.3)]
    offset = (
        "SELECT next_offset FROM ingest_offset WHERE topic = 'telemetry.meter' AND partition = 0"
    )
    assert await rows(connection, offset) == [(4,)]
    letters = "SELECT topic, partition, record_offset, key, value, reason FROM dead_letter"
    assert await rows(connection, letters) == [
        ("telemetry.meter", 0, 2, b"key", b"not json", "malformed_json")
    ]


async def test_vehicles_are_stored_bit_for_bit(sink: Sink, connection: Connection) -> None:
    numbers = [0.1 + 0.2, 5e-324, 99.99999999999999]
    value = (
        f'{{"vehicleId":"veh-1","soc":{numbers[2]!r},"kwhDeliveredDc":{numbers[1]!r},'
        f'"batteryTemp":-{numbers[0]!r},"timestamp":"{NOW.isoformat()}"}}'
    )
    await sink.flush(flush_of([value.encode()], stream=VEHICLE))
    query = "SELECT soc, kwh_delivered_dc, battery_temp FROM vehicle_history"
    [stored] = await rows(connection, query)
    assert struct.pack("3d", *stored) == struct.pack("3d", numbers[2], numbers[1], -numbers[0])


async def test_current_state_keeps_the_newest_by_event_time(
    sink: Sink, connection: Connection
) -> None:
    await sink.flush(flush_of([meter_value(ago=1 * MINUTE, kwh=9)]))
    await sink.flush(flush_of([meter_value(ago=5 * MINUTE, kwh=1)], believed=1))
    assert await rows(connection, "SELECT kwh_consumed_ac FROM meter_current_state") == [(9,)]
    assert await rows(connection, "SELECT count(*) FROM meter_history") == [(2,)]


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


async def test_another_unique_rule_on_history_rejects_the_reading_that_breaks_it(
    sink: Sink, connection: Connection
) -> None:
    await sink.flush(flush_of([meter_value(kwh=1)]))
    (day,) = (await rows(connection, "SELECT tableoid::regclass::text FROM meter_history"))[0]
    await connection.execute(f"CREATE UNIQUE INDEX house_rule ON {day} (kwh_consumed_ac)")
    values = [meter_value("mtr-2", kwh=2), meter_value("mtr-3", kwh=1)]
    outcome = await sink.flush(flush_of(values, believed=1))
    assert outcome.stored == 1
    assert [(letter.position, letter.detail) for letter in outcome.dead_letters] == [
        (1, "23505 house_rule")
    ]


async def test_a_replica_that_lost_the_partition_writes_nothing(
    sink: Sink, connection: Connection
) -> None:
    await sink.flush(flush_of([meter_value()]))
    with pytest.raises(Fenced):
        await sink.flush(flush_of([meter_value("mtr-2"), b"x"], believed=0))
    assert await rows(connection, "SELECT count(*) FROM meter_history") == [(1,)]
    assert await rows(connection, "SELECT count(*) FROM dead_letter") == [(0,)]
    outcome = await sink.flush(flush_of([meter_value("mtr-3")], believed=1))
    assert outcome.stored == 1


@pytest.mark.parametrize("bad", [[0], [199], [0, 1, 2, 97, 198, 199], list(range(200))])
async def test_what_the_database_rejects_is_bisected_down_to_the_message(
    sink: Sink, connection: Connection, bad: list[int]
) -> None:
    await connection.execute(
        "ALTER TABLE meter_history ADD CONSTRAINT house_rule CHECK (kwh_consumed_ac < 100)"
    )
    values = [
        meter_value(f"mtr-{place:03}", kwh=500 if place in bad else 1) for place in range(200)
    ]
    outcome = await sink.flush(flush_of(values))
    assert outcome.stored == 200 - len(bad)
    rejected = {(letter.position, letter.reason) for letter in outcome.dead_letters}
    assert rejected == {(place, Reason.REJECTED_BY_DATABASE) for place in bad}
    details = await rows(connection, "SELECT DISTINCT detail FROM dead_letter")
    assert details == [("23514 house_rule",)]
    assert await rows(connection, "SELECT count(*) FROM meter_current_state") == [(200 - len(bad),)]


async def test_an_error_of_the_surroundings_while_it_bisects_takes_all_of_it_back(
    sink: Sink, connection: Connection
) -> None:
    await connection.execute("CREATE SEQUENCE tries")
    await connection.execute(
        "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " CASE nextval('tries')"
        " WHEN 1 THEN RAISE EXCEPTION 'the data' USING ERRCODE = 'data_exception';"
        " WHEN 2 THEN RAISE EXCEPTION 'the server' USING ERRCODE = 'out_of_memory';"
        " ELSE RETURN NULL; END CASE; END $$"
    )
    await connection.execute(
        "CREATE TRIGGER trouble AFTER INSERT ON meter_current_state"
        " FOR EACH STATEMENT EXECUTE FUNCTION trouble()"
    )
    flush = flush_of([meter_value("mtr-1"), meter_value("mtr-2")])
    with pytest.raises(psycopg.errors.OutOfMemory):
        await sink.flush(flush)
    assert await rows(connection, "SELECT FROM meter_history") == []
    assert await rows(connection, "SELECT FROM dead_letter") == []
    assert (await sink.flush(flush)).stored == 2


async def test_a_rejected_first_copy_leaves_its_place_to_the_next(
    sink: Sink, connection: Connection
) -> None:
    await connection.execute("ALTER TABLE meter_current_state ADD CHECK (kwh_consumed_ac < 100)")
    outcome = await sink.flush(flush_of([meter_value(kwh=500), meter_value(kwh=1)]))
    assert (outcome.stored, reasons(outcome)) == (1, [Reason.REJECTED_BY_DATABASE])
    assert await rows(connection, "SELECT kwh_consumed_ac FROM meter_history") == [(1,)]


async def test_dead_letters_keep_bytes_key_headers_and_time(
    sink: Sink, connection: Connection
) -> None:
    headers = (
        ("trace", b"\x00\xff"),
        ("nul\x00", None),
        ("latin-\udce9", b"1"),  # as the source hands out a byte that is not UTF-8
        ("\ufffd", b""),
        ("Łódź", b""),
        ("trace", b"2"),
    )
    letters = [
        record(0, None, key=None, headers=headers),
        record(1, b"\x00\xfe", timestamp_ms=-1),
        record(2, b"x", timestamp_ms=1 << 62),
    ]
    outcome = await sink.flush(flush_of(letters))
    assert reasons(outcome) == [Reason.EMPTY_VALUE, *[Reason.MALFORMED_JSON] * 2]
    query = "SELECT key, value, headers, record_timestamp FROM dead_letter ORDER BY record_offset"
    encoded = [
        ["trace", base64.b64encode(b"\x00\xff").decode()],
        ["nul\ufffd", None, base64.b64encode(b"nul\x00").decode()],
        ["latin-\ufffd", base64.b64encode(b"1").decode(), base64.b64encode(b"latin-\xe9").decode()],
        ["\ufffd", ""],
        ["Łódź", ""],
        ["trace", base64.b64encode(b"2").decode()],
    ]
    assert await rows(connection, query) == [
        (None, None, encoded, NOW),
        (b"key", b"\x00\xfe", [], None),
        (b"key", b"x", [], None),
    ]


async def test_missing_partitions_are_made_on_demand(
    sink: Sink, connection: Connection, metrics: Metrics
) -> None:
    values = [meter_value(ago=timedelta(days=days)) for days in (0, 1, 30, 399)]
    outcome = await sink.flush(flush_of(values))
    assert outcome.stored == 4
    made = metrics.registry.get_sample_value(
        "telemetry_history_partitions_made_late_total", {"topic": "telemetry.meter"}
    )
    assert made == 4


async def test_a_partition_that_was_dropped_meanwhile_is_made_again(
    sink: Sink, connection: Connection, database: Database
) -> None:
    await sink.flush(flush_of([meter_value()]))
    name = sql.Identifier(f"meter_history_{NOW - MINUTE:%Y%m%d}")
    await connection.execute(sql.SQL("DROP TABLE {}").format(name))
    flush = flush_of([meter_value("mtr-2")], believed=1)
    outcome = await database.patiently(lambda: sink.flush(flush), work=FLUSH)
    assert outcome.stored == 1


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


async def test_one_outage_is_met_once_however_many_connections_broke_in_it(
    database: Database, metrics: Metrics, connection: Connection
) -> None:
    async with (
        aclosing(Sink(database=database, metrics=metrics, timeout=30)) as one,
        aclosing(Sink(database=database, metrics=metrics, timeout=30)) as other,
    ):
        for believed in range(2):
            for partition, sink in enumerate((one, other)):
                flush = flush_of(
                    [meter_value(f"mtr-{partition}-{believed}")],
                    believed=believed,
                    partition=partition,
                )
                outcome = await database.patiently(partial(sink.flush, flush), work=FLUSH)
                assert outcome.stored == 1
            assert database.failures == believed
            await connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'wattline-consumer'"
            )


@pytest.mark.parametrize("survives", [True, False])
async def test_a_commit_whose_answer_is_lost_is_settled_by_asking(
    sink: Sink, connection: Connection, forget_standby: Callable[[], None], *, survives: bool
) -> None:
    """The commit hangs on a standby that does not exist; ending its backend loses the answer."""
    await sink.flush(flush_of([meter_value()]))
    flush = flush_of([meter_value("mtr-2")], believed=1)
    if survives:
        await wait_for_a_standby(connection)
    else:
        await connection.execute("SELECT pg_advisory_lock(1)")
        await connection.execute(
            "CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END'"
        )
        await connection.execute(
            "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON meter_current_state"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_here()"
        )
    flushing = asyncio.create_task(sink.flush(flush))
    await _end_backend_that_waits(connection, event="SyncRep" if survives else "advisory")
    with pytest.raises(CommitUnknown):
        await flushing
    forget_standby()
    await connection.execute("SELECT pg_advisory_unlock_all()")
    stored_before = await rows(connection, "SELECT count(*) FROM meter_history")
    assert stored_before == [(2 if survives else 1,)]
    outcome = await sink.flush(flush)
    assert (outcome.stored, outcome.dead_letters) == (1, [])
    assert await rows(connection, "SELECT count(*) FROM meter_history") == [(2,)]


async def test_an_id_that_a_crash_took_away_is_another_transactions_by_now(
    sink: Sink, connection: Connection
) -> None:
    """A crash forgets ids that were not written down yet, and they are given out again."""
    flush = flush_of([meter_value()])
    cursor = await connection.execute("SELECT pg_current_xact_id()::text")
    row = await cursor.fetchone()
    assert row is not None
    somebody_elses = row[0]
    # As after a COMMIT without answer.
    sink._unsettled = Unsettled(flush, somebody_elses, Outcome(stored=1))
    outcome = await sink.flush(flush)
    assert (outcome.stored, outcome.duplicates) == (1, 0)
    assert await rows(connection, "SELECT count(*) FROM meter_history") == [(1,)]


async def wait_for_a_standby(connection: Connection) -> None:
    """Let every commit of the server wait for a standby that does not exist, from now on."""
    await connection.execute("CREATE TABLE probe ()")
    await connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await connection.execute("SELECT pg_reload_conf()")
    waits = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    async with await psycopg.AsyncConnection.connect(
        connection.info.dsn, password=connection.info.password, autocommit=True
    ) as prober:
        # The server takes note in its own time: a commit that waits shows that it has.
        while True:
            probing = asyncio.create_task(prober.execute("INSERT INTO probe DEFAULT VALUES"))
            while not probing.done():
                if await rows(connection, waits):
                    await _end_backend_that_waits(connection, event="SyncRep")
                    await asyncio.wait([probing])
                    probing.exception()
                    return
                await asyncio.sleep(0.01)
            await probing


@pytest.fixture
def forget_standby(database_url: str) -> Iterator[Callable[[], None]]:
    """Let commits wait for no standby again; at the end too, however the test ended."""

    def forget() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")

    yield forget
    forget()


async def _end_backend_that_waits(connection: psycopg.AsyncConnection, *, event: str) -> None:
    query = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = %s AND pid <> pg_backend_pid()"
    )
    while not await (await connection.execute(query, [event])).fetchall():
        await asyncio.sleep(0.01)
