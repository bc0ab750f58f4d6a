"""The figures of a page agree with each other and say what they mean."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest
from confluent_kafka import TopicPartition
from pydantic import SecretStr

from api.app import create_app
from api.figures.energies import total
from api.figures.figures import Figures
from api.page.words import DASH, kwh
from api.postgres.database import Database
from api.settings import PoolSettings, Settings
from deploy.local.stack import Addresses
from runtime.kafka.settings import KafkaSettings
from telemetry.streams import STREAMS
from tests import kafka_clients
from tests.asked import asked
from tests.notes import note_all
from tests.page.shown import cells, tile, words_of

NOWHERE = "127.0.0.1:9"

Show = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def show(servers: Addresses, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Show:
    """Run the API in this process, with settings that differ; it looks around all the time."""
    monkeypatch.setattr("api.figures.intake._LOOK_S", 0.2)
    monkeypatch.setattr("api.figures.figures.NOW_KEPT_S", 0.1)
    monkeypatch.setattr("api.figures.pace._LEAST_S", 0)
    usual = {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
    }

    @asynccontextmanager
    async def shown(**settings: str) -> AsyncIterator[httpx.AsyncClient]:
        for name, value in (usual | settings).items():
            monkeypatch.setenv(name, value)
        async with asked(create_app(Settings())) as client:
            yield client

    return shown


async def whole(client: httpx.AsyncClient) -> str:
    """Return the fleet's page once nothing on it is still being computed, asked or measured."""
    return await until(client, lambda page: "being" not in page)


async def until(client: httpx.AsyncClient, is_so: Callable[[str], bool]) -> str:
    """Return the fleet's page once it is so."""
    while not is_so(page := (await client.get("/")).raise_for_status().text):
        await asyncio.sleep(0.05)
    return page


def stored(
    connection: psycopg.Connection[tuple[object, ...]],
    stream: str,
    device_id: str,
    *,
    taken_ago: timedelta,
    stored_ago: timedelta,
) -> None:
    """Write a current state of that age."""
    measures = {"meter": "0.1, 230", "vehicle": "50, 0.1, 20"}[stream]
    connection.execute(
        f"INSERT INTO {stream}_current_state"
        f" VALUES (%s, statement_timestamp() - %s, {measures}, statement_timestamp() - %s)",
        [device_id, taken_ago, stored_ago],
    )


def fill_ten_hours(connection: psycopg.Connection[tuple[object, ...]], now: datetime) -> None:
    """Write three vehicles' ten hours up to now: one charged well, one badly, one not at all."""
    for table in ("meter_history", "vehicle_history"):
        for day in {(now - timedelta(hours=hours)).date() for hours in (0, 10)}:
            connection.execute(
                f"CREATE TABLE {table}_{day:%Y%m%d} PARTITION OF {table}"
                f" FOR VALUES FROM ('{day}Z') TO ('{day + timedelta(days=1)}Z')"
            )
    for number_of, (ac, dc) in enumerate([(0.1, 0.09), (0.1, 0.06), (0.0001, 0.0)]):
        asked = [f"-{number_of}", now]
        connection.execute(
            "INSERT INTO meter_history (meter_id, recorded_at, kwh_consumed_ac, voltage)"
            f" SELECT 'mtr' || %s, %s - minute * interval '1 minute', {ac}, 230"
            " FROM generate_series(0, 599) AS minute",
            asked,
        )
        connection.execute(
            "INSERT INTO vehicle_history"
            " (vehicle_id, recorded_at, soc, kwh_delivered_dc, battery_temp)"
            f" SELECT 'veh' || %s, %s - minute * interval '1 minute', 50, {dc}, 20"
            " FROM generate_series(0, 599) AS minute",
            asked,
        )
        connection.execute(
            "INSERT INTO vehicle_current_state VALUES ('veh' || %s, %s, 50, 0.1, 20, %s)",
            [*asked, now],
        )
        connection.execute(
            "INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at)"
            " VALUES ('veh' || %s, 'mtr' || %s, %s)",
            [f"-{number_of}", f"-{number_of}", now - timedelta(days=2)],
        )
    note_all(connection)
    connection.commit()


async def test_a_silent_stream_does_not_hide_the_other(show: Show, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        second, hours = timedelta(seconds=1), timedelta(hours=3)
        stored(connection, "meter", "mtr-1", taken_ago=3 * second, stored_ago=second)
        stored(connection, "vehicle", "veh-1", taken_ago=hours, stored_ago=hours)
    async with show() as client:
        page = (await client.get("/")).text
    assert "lag: stored 2.0 s after" in tile(page, "Newest reading stored")
    assert tile(page, "Vehicles live").startswith("0 of 1")
    assert tile(page, "Meters live").startswith("1 of 1")


async def test_a_clock_that_is_ahead_does_not_hide_silence(show: Show, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        stored_ago, ahead = timedelta(minutes=7), timedelta(seconds=290)
        for stream in ("meter", "vehicle"):
            stored(
                connection, stream, "fast", taken_ago=stored_ago - 2 * ahead, stored_ago=stored_ago
            )
    async with show() as client:
        page = (await client.get("/")).text
    said = tile(page, "Newest reading stored")
    assert said.startswith("7 min ago")
    assert said.endswith("no newer one was stored in the last 5 min")
    assert 'class="tile alarm"><dt>Newest reading stored' in page
    assert tile(page, "Vehicles live").startswith("0 of 1")
    assert tile(page, "Meters live").startswith("0 of 1")


def ends_of(servers: Addresses) -> dict[tuple[str, int], int]:
    """Return the end of each partition of the two topics, by another client than the API's."""
    with kafka_clients.consumer(servers.kafka_bootstrap_servers) as consumer:
        topics = consumer.list_topics(timeout=30).topics
        return {
            (stream.topic, partition): consumer.get_watermark_offsets(
                TopicPartition(stream.topic, partition), timeout=30
            )[1]
            for stream in STREAMS
            for partition in topics[stream.topic].partitions
        }


async def test_what_waits_in_kafka_is_shown_while_every_consumer_is_stopped(
    show: Show, servers: Addresses, database_url: str, group: str
) -> None:
    async with show(CONSUMER_GROUP=group) as client:
        await whole(client)  # by now the topics are there
        ends = ends_of(servers)
        with psycopg.connect(database_url, autocommit=True) as connection:
            for (topic, partition), end in ends.items():
                connection.execute(
                    "INSERT INTO ingest_offset VALUES (%s, %s, %s, %s, now() - interval '7 min')",
                    [group, topic, partition, end],
                )
        with kafka_clients.producer(servers.kafka_bootstrap_servers) as producer:
            for at in range(5):
                producer.produce(STREAMS[at % 2].topic, b"{}", uuid.uuid4().bytes)
            assert not producer.flush(30)
        said = ""
        while not (said.startswith("5 messages") and "does a consumer run?" in said):
            page = await whole(client)
            said = tile(page, "Waiting in Kafka")
        assert said == f"5 messages group {group} took in none for 7 min: does a consumer run?"
        assert 'class="tile alarm"><dt>Waiting in Kafka' in page
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "UPDATE ingest_offset SET next_offset = next_offset + 5, updated_at = now()"
            )
        page = await until(client, lambda page: "has taken in all of them" in page)
        assert tile(page, "Waiting in Kafka").startswith("0 messages")


async def test_a_kafka_that_does_not_answer_is_reported_and_delays_no_page(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.figures.ends._ANSWER_S", 0.2)
    async with show(KAFKA_BOOTSTRAP_SERVERS=NOWHERE) as client:
        said = tile(await whole(client), "Waiting in Kafka")
    assert said == f"{DASH} not known: Kafka does not answer"


async def test_offsets_and_dead_letters_of_another_group_are_not_counted_as_the_groups(
    show: Show, database_url: str, group: str
) -> None:
    with psycopg.connect(database_url) as connection:
        for other in ("night-shift", "reports"):
            connection.execute(
                "INSERT INTO ingest_offset VALUES (%s, 'telemetry.meter', 0, 7)", [other]
            )
        connection.execute(
            "INSERT INTO dead_letter (consumer_group, topic, partition, record_offset, reason,"
            " detail) VALUES ('reports', 'telemetry.meter', 0, 3, 'empty_value', '')"
        )
    async with show(CONSUMER_GROUP=group) as client:
        page = await whole(client)
    said = tile(page, "Waiting in Kafka")
    assert f"group {group} never took in any, but night-shift, reports did" in said
    assert "Is CONSUMER_GROUP right?" in said
    letters = tile(page, "Dead letters, 24 h")
    assert letters == "0 no message was refused; 1 of other groups"


async def test_a_fleet_of_ten_hours_is_judged_by_them(show: Show, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        fill_ten_hours(connection, datetime.now(UTC).replace(microsecond=0))
    async with show() as client:
        page = await whole(client)
        one = (await client.get("/vehicles/veh-0")).text
        idle = (await client.get("/vehicles/veh-2")).text
    assert "Since the first reading of a vehicle" in page
    said = {row[0]: row[1:] for row in cells(page, 'class="statuses"')}
    assert [said[status][0] for status in ("optimal", "critical", "insufficient data")] == list(
        "111"
    )
    assert "1 drew less than 0.1 kWh" in said["insufficient data"][3]
    assert tile(page, "Ratio of the fleet").startswith("75.0 %")
    assert "by 2 of 3 vehicles" in tile(page, "Ratio of the fleet")
    assert "Since its first reading" in one
    assert "90.0 % of the AC drawn was delivered as DC." in words_of(one)
    assert "its meters drew 0.060 kWh; 0.1 kWh is needed." in words_of(idle)


async def test_late_readings_are_added_to_the_day_and_its_hours_at_once(
    servers: Addresses, database_url: str
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    with psycopg.connect(database_url) as connection:
        fill_ten_hours(connection, now)
    settings = PoolSettings(database_url=SecretStr(database_url))
    kafka = KafkaSettings(bootstrap_servers=NOWHERE)
    async with (
        Database(settings).opened() as database,
        Figures(database=database, kafka=kafka, group="any", day_kept_s=0).opened() as figures,
    ):
        first = (await figures.hours.get(wait_s=60)).value
        assert first is not None
        assert kwh(first.energy.ac_kwh) == kwh(first.day.energy.ac_kwh)
        with psycopg.connect(database_url) as connection:
            connection.execute(
                "INSERT INTO meter_history (meter_id, recorded_at, kwh_consumed_ac, voltage)"
                " SELECT 'mtr-0', recorded_at - interval '30 seconds', 1, 230 FROM meter_history"
                " WHERE meter_id = 'mtr-0' AND recorded_at < %s",
                [now - timedelta(hours=4)],
            )
            note_all(connection)
        while (second := (await figures.hours.get(wait_s=60)).value) is first:
            await asyncio.sleep(0.05)
        assert second is not None
        assert second.day.energy.ac_kwh > first.day.energy.ac_kwh + 300
        assert tuple(total(hour.energy for hour in second.hours)) == pytest.approx(
            tuple(second.day.energy)
        )


async def test_a_missing_measure_is_a_dash_and_breaks_no_page(
    show: Show, database_url: str
) -> None:
    with psycopg.connect(database_url) as connection:
        fill_ten_hours(connection, datetime.now(UTC).replace(microsecond=0))
        for table in ("vehicle_history", "vehicle_current_state"):
            for column in ("soc", "battery_temp"):
                connection.execute(f"ALTER TABLE {table} ALTER {column} DROP NOT NULL")
        connection.execute("UPDATE vehicle_current_state SET soc = NULL, battery_temp = NULL")
        connection.execute("UPDATE vehicle_history SET soc = NULL WHERE vehicle_id = 'veh-0'")
        connection.execute("UPDATE vehicle_history SET battery_temp = NULL")
    async with show() as client:
        listed = cells((await client.get("/vehicles")).text, "<table>")
        one = (await client.get("/vehicles/veh-0")).raise_for_status().text
        other = (await client.get("/vehicles/veh-1")).raise_for_status().text
    assert listed[0][2:4] == [DASH, DASH]
    assert tile(one, "Newest reading").startswith(f"{DASH} charged, {DASH}")
    # A measure that is always missing has no line.
    assert 'd="" class="line soc"' in one
    assert 'd="M' in other.split('class="line soc"')[0].rsplit("<path", 1)[1]
