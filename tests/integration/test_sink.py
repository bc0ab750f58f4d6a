"""One flush on a real PostgreSQL: all of a batch or nothing, each message to its one end."""

import base64
import struct
from contextlib import aclosing
from datetime import timedelta
from functools import partial

import psycopg
import pytest
from psycopg import sql

from consumer.errors import Fenced
from consumer.flush.outcome import Outcome
from consumer.flush.sink import Sink
from consumer.metrics import Metrics
from consumer.postgres.connection import Connection
from consumer.postgres.database import Database
from telemetry.reasons import Reason
from telemetry.streams import VEHICLE
from tests.integration.conftest import FLUSH, NOW, flush_of, meter_value, record, rows

MINUTE = timedelta(minutes=1)


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
