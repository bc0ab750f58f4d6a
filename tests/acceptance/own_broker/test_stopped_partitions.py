"""Stored offsets that do not fit Kafka's stop the partition, and no other."""

import shutil

import psycopg
import pytest

from telemetry.streams import METER
from tests.acceptance.conftest import Environment, Start, query, until
from tests.acceptance.member import Opener, a_source
from tests.acceptance.own_broker.broker import Broker
from tests.acceptance.own_broker.stored import store, stored
from tests.acceptance.own_broker.topics import delete_records, delete_topics, fill, make_topics
from tests.acceptance.series import STORED

pytestmark = pytest.mark.usefixtures("topics")
STOPPED = "telemetry_stopped_partitions{"


def test_what_was_stored_while_kafka_was_asked_does_not_lie_beyond_its_end(
    environment: Environment, start: Start
) -> None:
    """The former owner stores what came after the new one had asked Kafka for its end."""
    fill(environment, 5)
    with psycopg.connect(environment["DATABASE_URL"]) as former_owner:
        former_owner.execute(
            "INSERT INTO ingest_offset VALUES (%s, %s, 0, 9)",
            [environment["CONSUMER_GROUP"], METER.topic],
        )
        replica = start()
        waits = "SELECT FROM pg_stat_activity WHERE wait_event = 'transactionid'"
        until(lambda: bool(query(environment, waits)), what="the replica waits for the offset")
        fill(environment, 4, first=5)
        former_owner.commit()
    replica.wait_for("partitions_opened")
    fill(environment, 1, first=9)
    until(lambda: bool(query(environment, "SELECT FROM meter_history")), what="the tenth is stored")
    assert "partition_stopped" not in replica.log_file.read_text()


def test_offsets_that_retention_has_overtaken_stop_the_partition_and_the_exit_says_so(
    start: Start, environment: Environment
) -> None:
    fill(environment, 100)
    store(environment, 0, 10)
    delete_records(environment, 0, 40)
    replica = start()
    said = replica.wait_for("partition_stopped")
    assert (said["topic"], said["partition"], said["next_offset"]) == (METER.topic, 0, 10)
    assert (said["earliest"], said["end"]) == (40, 100)
    assert "offsets show" in said["help"]
    assert "offsets reset" in said["help"]
    fill(environment, 50, partition=1, first=100)
    until(lambda: replica.metric(STORED) == 50, what="another partition goes on")
    assert replica.metric(STOPPED) == 1
    assert replica.stop() == 1
    [last] = replica.events("partitions_stopped")
    assert last["partitions"] == [f"{METER.topic}/0"]
    assert "offsets reset" in last["help"]
    assert stored(environment)[0] == 10


def test_retention_that_overtakes_a_running_replica_stops_the_partition(
    start: Start, environment: Environment
) -> None:
    """Its memory is full behind a lock, so it stops reading; then what it has not read goes."""
    replica = start(BUFFER_MAX_BYTES="1048576", KAFKA_PARTITION_FETCH_MAX_BYTES="65536")
    replica.wait_for("partitions_opened")
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        connection.execute("LOCK TABLE meter_history")
        fill(environment, 20_000)
        until(lambda: replica.metric("telemetry_buffered_bytes") > 1_048_576, what="crowded")
        delete_records(environment, 0, 20_000)
    said = replica.wait_for("partition_stopped")
    assert said["partition"] == 0
    until(lambda: stored(environment)[0] == said["next_offset"], what="what was read is flushed")
    count = query(environment, "SELECT count(*) FROM meter_history")[0][0]
    assert 0 < count == said["next_offset"] < 20_000
    fill(environment, 50, partition=1, first=20_000)
    until(lambda: replica.metric(STORED) == count + 50, what="another partition goes on")
    assert replica.stop() == 1


def test_a_topic_that_is_made_again_stops_its_partitions_and_no_other(
    start_attentive: Start, environment: Environment
) -> None:
    replica = start_attentive()
    replica.wait_for("partitions_opened")
    fill(environment, 100)
    until(lambda: replica.metric(STORED) == 100, what="all stored")
    delete_topics(environment)
    missing = [replica.wait_for("topic_missing", times=times)["topic"] for times in (1, 2)]
    assert missing == [METER.topic, "telemetry.vehicle"]
    make_topics(environment)
    fill(environment, 20)
    said = replica.wait_for("partition_stopped")
    assert (said["partition"], said["next_offset"], said["end"]) == (0, 100, 20)
    assert stored(environment)[0] == 100
    fill(environment, 50, partition=1, first=100)
    until(lambda: replica.metric(STORED) == 150, what="another partition goes on")
    assert replica.stop() == 1


async def test_that_a_topic_was_made_again_is_looked_for_every_ten_seconds(
    environment: Environment,
) -> None:
    async with a_source(environment) as source:
        await source.start(Opener(source, {}))
        assert source._member._client._metadata_max_age_ms == 10_000


def test_a_log_that_has_lost_its_end_stops_the_partition_and_no_other(
    start: Start, broker: Broker, environment: Environment
) -> None:
    """As after an unclean election: the broker comes back without what a replica has read."""
    replica = start()
    fill(environment, 100)
    until(lambda: replica.metric(STORED) == 100, what="all stored")
    broker.kill()
    shutil.rmtree(broker.node.data / f"{METER.topic}-0")
    broker.start()
    said = replica.wait_for("partition_stopped")
    assert (said["partition"], said["next_offset"]) == (0, 100)
    fill(environment, 50, partition=1, first=100)
    until(lambda: replica.metric(STORED) == 150, what="another partition goes on")
    assert stored(environment)[0] == 100
    assert replica.stop() == 1
