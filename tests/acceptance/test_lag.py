"""Lag and counters say what is so: after transactions, restarts and with messages waiting."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator

import psycopg
import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from deploy.replica import PATIENCE_S, Replica
from telemetry.streams import STREAMS
from tests import kafka_clients
from tests.acceptance.conftest import Environment, produce, query, until
from tests.acceptance.group import share_partitions
from tests.acceptance.offsets_command import command
from tests.acceptance.readings import meter_messages
from tests.acceptance.series import DEAD, DUPLICATES, STORED

METER = "telemetry.meter"
LAG = "telemetry_lag_messages{"
AGE = "telemetry_lag_seconds{"
GROUP_LAG = "telemetry_group_lag_messages{"
OPEN = "telemetry_open_transaction_messages{"
ASSIGNED = "telemetry_assigned_partitions"
STRANGE = "[/red]\x1b[31m\x07"

Start = Callable[..., Replica]


def transaction(environment: Environment, *, commit: bool, partition: int, count: int) -> None:
    """Send readings in a transaction, whose mark takes an offset after them."""
    servers, own = environment["KAFKA_BOOTSTRAP_SERVERS"], environment["CONSUMER_GROUP"]
    with kafka_clients.producer(servers, {"transactional.id": own}) as producer:
        producer.init_transactions(PATIENCE_S)
        producer.begin_transaction()
        for key, value in meter_messages(count):
            producer.produce(METER, key=key, value=value, partition=partition)
        assert producer.flush(PATIENCE_S) == 0
        if commit:
            producer.commit_transaction(PATIENCE_S)
        else:
            producer.abort_transaction(PATIENCE_S)


def offset(environment: Environment, partition: int) -> int:
    text = f"SELECT next_offset FROM ingest_offset WHERE topic = '{METER}' AND partition = "
    return int(query(environment, text + str(partition))[0][0])


def series(replica: Replica, name: str) -> int:
    return sum(line.startswith(name) for line in replica.get("/metrics")[1].splitlines())


def test_an_idle_partition_has_no_lag_even_after_a_restart(
    start: Start, environment: Environment
) -> None:
    produce(environment, METER, meter_messages(500))
    first = start()
    until(lambda: first.metric(STORED) == 500, what="all stored")
    until(lambda: no_lag(first), what="caught up")
    assert first.stop() == 0
    again = start()
    until(lambda: no_lag(again), what="caught up")
    assert again.metric(STORED) == 0


def no_lag(replica: Replica) -> bool:
    """Return whether the lag of all partitions has been measured, and there is none."""
    return series(replica, LAG) == 24 and replica.metric(LAG) == replica.metric(AGE) == 0


@pytest.mark.parametrize("commit", [True, False])
def test_what_transactions_leave_behind_is_not_lag_even_after_a_restart(
    start: Start, environment: Environment, commit: bool
) -> None:
    """A partition ends in a transaction's mark, or in aborted messages and their mark."""
    begin = offset(environment, 5)
    first = start()
    until(lambda: no_lag(first), what="nothing to do")
    transaction(environment, commit=True, partition=5, count=100)
    until(lambda: first.metric(STORED) == 100, what="all stored")
    if not commit:
        transaction(environment, commit=False, partition=5, count=50)
    until(lambda: no_lag(first), what="caught up")
    assert offset(environment, 5) == begin + 100  # the mark is behind it
    assert first.stop() == 0
    again = start()
    until(lambda: no_lag(again), what="caught up")
    produce(environment, METER, meter_messages(10))
    until(lambda: again.metric(STORED) == 10, what="what follows is stored")
    until(lambda: no_lag(again), what="caught up")


def test_lag_is_what_waits_and_the_age_of_its_oldest(
    start: Start, environment: Environment
) -> None:
    replica = start(DATABASE_LOCK_TIMEOUT_S="60")
    until(lambda: no_lag(replica), what="nothing to do")
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        connection.execute("LOCK TABLE meter_history")
        sent_at = time.time()
        send_at(environment, int(sent_at * 1_000), count=300, partition=3)
        until(lambda: replica.metric(labelled(LAG, 3)) == 300, what="all wait")
        until(lambda: replica.metric(labelled(AGE, 3)) > 0, what="they have an age")
        age = replica.metric(labelled(AGE, 3))
        assert age <= time.time() - sent_at
        assert replica.metric(LAG) == 300
        until(lambda: replica.metric(labelled(AGE, 3)) > age + 1, what="they grow older")
    until(lambda: no_lag(replica), what="caught up")
    assert replica.metric(STORED) == 300


@pytest.fixture
def any_time(environment: Environment) -> Iterator[None]:
    """The topic takes records from the future too, as brokers before Kafka 4.0 do."""
    name, most = "message.timestamp.after.max.ms", str((1 << 63) - 1)
    with kafka_clients.admin(environment["KAFKA_BOOTSTRAP_SERVERS"]) as admin:
        for operation in (AlterConfigOpType.SET, AlterConfigOpType.DELETE):
            entry = ConfigEntry(name, most, incremental_operation=operation)
            topic = ConfigResource(ResourceType.TOPIC, METER, incremental_configs=[entry])
            admin.incremental_alter_configs([topic])[topic].result()
            if operation is AlterConfigOpType.SET:
                yield


def in_seconds() -> int:
    return int(time.time())


def in_microseconds() -> int:
    return int(time.time() * 1_000_000)


def an_hour_ago() -> int:
    return int((time.time() - 3_600) * 1_000)


def in_an_hour() -> int:
    return int((time.time() + 3_600) * 1_000)


@pytest.mark.parametrize("stamp", [in_seconds, in_microseconds, an_hour_ago, in_an_hour])
def test_a_record_is_no_older_than_since_there_was_nothing_to_read_whatever_its_time(
    start: Start, environment: Environment, any_time: None, stamp: Callable[[], int]
) -> None:
    begun = time.time()
    replica = start(DATABASE_LOCK_TIMEOUT_S="60")
    until(lambda: no_lag(replica), what="nothing to do")
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        connection.execute("LOCK TABLE meter_history")
        send_at(environment, stamp(), count=10, partition=3)
        sent_at = time.time()
        until(lambda: replica.metric(labelled(LAG, 3)) == 10, what="all wait")
        until(lambda: replica.metric(labelled(AGE, 3)) > 2, what="they grow older")
        assert replica.metric(labelled(AGE, 3)) <= time.time() - begun
        looked_after, age = next_age(replica, 3)
        assert age > looked_after - sent_at
    until(lambda: no_lag(replica), what="caught up")


def next_age(replica: Replica, partition: int) -> tuple[float, float]:
    """Return a time shortly before the next look, and the age that the look shows.

    The age that is shown now is of an earlier time, and only Wattline knows of which.
    """
    shown = replica.metric(labelled(AGE, partition))
    asked_at = [time.time()]

    def is_renewed() -> bool:
        asked_at.append(time.time())
        return replica.metric(labelled(AGE, partition)) != shown

    until(is_renewed, what="another look")
    return asked_at[-2], replica.metric(labelled(AGE, partition))


@pytest.mark.parametrize("stamp", [an_hour_ago, in_seconds, in_microseconds])
def test_after_an_outage_of_all_replicas_a_backlog_has_its_real_age(
    start: Start, environment: Environment, any_time: None, stamp: Callable[[], int]
) -> None:
    """By the records if they can be believed, else since the group last stored something."""
    query(
        environment,
        "UPDATE ingest_offset SET updated_at = now() - interval '1 hour' RETURNING 1",
    )
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        connection.execute("LOCK TABLE meter_history")
        send_at(environment, stamp(), count=10, partition=3)
        replica = start(DATABASE_LOCK_TIMEOUT_S="60")
        until(lambda: replica.metric(labelled(LAG, 3)) == 10, what="all wait")
        assert 3_600 <= replica.metric(labelled(AGE, 3)) <= 3_600 + PATIENCE_S
    until(lambda: no_lag(replica), what="caught up")


def test_messages_that_are_not_read_yet_are_as_old_as_their_stay(
    start: Start, environment: Environment
) -> None:
    """An hour passed before they came: that is not their age. Memory is full, so none is read."""
    hour_ago_ms = int((time.time() - 3_600) * 1_000)
    send_at(environment, hour_ago_ms, count=10, partition=4)
    replica = start(DATABASE_LOCK_TIMEOUT_S="60", BUFFER_MAX_BYTES="1048576")
    until(lambda: replica.metric(STORED) == 10, what="the old ones stored")
    until(lambda: no_lag(replica), what="caught up")
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        connection.execute("LOCK TABLE meter_history")
        send_at(environment, int(time.time() * 1_000), count=10_000, partition=3)
        until(lambda: replica.metric("telemetry_buffered_bytes") > 1_048_576, what="crowded")
        send_at(environment, int(time.time() * 1_000), count=10, partition=4, first=10)
        until(lambda: replica.metric(labelled(LAG, 4)) == 10, what="they wait in Kafka")
        assert replica.metric(labelled(AGE, 4)) < 60
    until(lambda: no_lag(replica), what="caught up")


def labelled(name: str, partition: int) -> str:
    return f'{name}partition="{partition}",topic="{METER}"'


def send_at(
    environment: Environment, at_ms: int, *, count: int, partition: int, first: int = 0
) -> None:
    """Send readings that came to Kafka at this time, in milliseconds since 1970."""
    with kafka_clients.producer(environment["KAFKA_BOOTSTRAP_SERVERS"]) as producer:
        for key, value in list(meter_messages(first + count))[first:]:
            producer.produce(
                METER,
                key=key,
                value=value,
                partition=partition,
                timestamp=at_ms,
                on_delivery=delivered,
            )
        assert producer.flush(PATIENCE_S) == 0


def delivered(error: object, message: object) -> None:
    assert error is None


OUTCOMES = {"stored": STORED, "duplicate": DUPLICATES, "dead_lettered": DEAD}


def outcomes(replica: Replica) -> Counter[str]:
    return Counter({name: int(replica.metric(text)) for name, text in OUTCOMES.items()})


def last_outcomes(replica: Replica) -> Counter[str]:
    """Stop a replica that has nothing to do and return its counters' last values.

    Nothing is sent meanwhile, so the page's values before the end are those of the end, and
    the drain must have found nothing: the tables are compared with them afterwards.
    """
    until(lambda: no_lag_of_its_own(replica), what="caught up")
    counted = outcomes(replica)
    assert replica.stop() == 0
    return counted


def no_lag_of_its_own(replica: Replica) -> bool:
    shown = series(replica, LAG)
    owned = replica.metric("telemetry_assigned_partitions")
    return shown == owned and replica.metric(LAG) == 0


def mixed_messages(part: int) -> Iterator[tuple[bytes | None, bytes | None]]:
    """9,000 new readings, 1,000 copies of them, 100 of no reading, 50 that are not JSON."""
    good = [
        (key, json.dumps({**json.loads(value), "meterId": f"mtr-{part}-{key.decode()}"}).encode())
        for key, value in meter_messages(9_000)
    ]
    yield from good
    yield from good[:1_000]
    yield from [(b"x", b"{}")] * 100
    yield from [(b"x", b"{")] * 50


def test_all_replicas_counters_add_up_to_what_was_sent_and_to_the_tables(
    start: Start, environment: Environment
) -> None:
    first, second = start(), start()
    share_partitions(first, second)
    produce(environment, METER, mixed_messages(1))
    until(lambda: (outcomes(first) + outcomes(second)).total() == 10_150, what="consumed")
    total = last_outcomes(first)
    until(lambda: second.metric("telemetry_assigned_partitions") == 24, what="taken over")
    produce(environment, METER, mixed_messages(2))
    again = start()  # partitions move under load
    share_partitions(again, second)
    produce(environment, METER, mixed_messages(3))
    everything = 3 * 10_150
    until(
        lambda: (total + outcomes(again) + outcomes(second)).total() == everything,
        what="consumed",
    )
    total += last_outcomes(again) + last_outcomes(second)
    assert total == {"stored": 27_000, "duplicate": 3_000, "dead_lettered": 450}
    histories = [query(environment, f"SELECT count(*) FROM {one.history}") for one in STREAMS]
    assert histories == [[(27_000,)], [(0,)]]
    assert query(environment, "SELECT count(*) FROM dead_letter") == [(450,)]


def test_what_a_stranger_in_the_group_keeps_from_the_replicas_is_a_lag_of_the_group(
    start: Start, environment: Environment
) -> None:
    """It calls itself something that a terminal would act on, and reads nothing."""
    replica = start()
    until(lambda: no_lag(replica), what="nothing to do")
    assert replica.metric("telemetry_topic_partitions") == 24
    own = {"bootstrap.servers": environment["KAFKA_BOOTSTRAP_SERVERS"], "client.id": STRANGE}
    group = {"group.id": environment["CONSUMER_GROUP"], "session.timeout.ms": 6_000}
    assignor = {"partition.assignment.strategy": "roundrobin"}
    stranger = Consumer({**own, **group, **assignor})
    try:
        stranger.subscribe([one.topic for one in STREAMS])

        def shares() -> bool:
            stranger.poll(0.1)
            return bool(stranger.assignment()) and replica.metric(ASSIGNED) == 12

        until(shares, what="the stranger has its share")
        taken = {one.partition for one in stranger.assignment() if one.topic == METER}
        stranger.pause(stranger.assignment())
        for partition in range(12):
            send_at(environment, int(time.time() * 1_000), count=10, partition=partition)
        waiting = 10 * len(taken)
        until(lambda: replica.metric(GROUP_LAG) == waiting, what="the group's lag says so")
        until(lambda: no_lag_of_its_own(replica), what="its own lag is none")
        members = "telemetry_group_members"
        until(lambda: replica.metric(members) == 2, what="the members are counted")
        shown = command(environment, "show")
        assert shown.returncode == 0, shown.stderr
        assert "\x1b" not in shown.stdout
        assert r"[/red]\x1b[31m" in shown.stdout
    finally:
        stranger.close()
    until(lambda: replica.metric(GROUP_LAG) == 0, what="all is read once it has left")
    assert replica.metric(STORED) == 120


def test_what_waits_behind_an_open_transaction_is_told(
    start: Start, environment: Environment
) -> None:
    replica = start(LAG_INTERVAL_S="0.2")
    until(lambda: no_lag(replica), what="nothing to do")
    begin = offset(environment, 5)
    servers, own = environment["KAFKA_BOOTSTRAP_SERVERS"], environment["CONSUMER_GROUP"]
    with kafka_clients.producer(servers, {"transactional.id": own}) as producer:
        producer.init_transactions(PATIENCE_S)
        producer.begin_transaction()
        [(key, value)] = meter_messages(1)
        producer.produce(METER, key=key, value=value, partition=5)
        assert producer.flush(PATIENCE_S) == 0
        send_at(environment, int(time.time() * 1_000), count=9, partition=5, first=1)
        until(lambda: replica.metric(labelled(OPEN, 5)) == 10, what="it is open")
        assert replica.metric(labelled(GROUP_LAG, 5)) == 10
        assert no_lag(replica)
        told = replica.wait_for("transaction_open")
        assert (told["partition"], told["begins_at"], told["waiting"]) == (5, begin, 10)
        assert replica.metric(OPEN) == 10
        producer.abort_transaction(PATIENCE_S)
    until(lambda: replica.metric(STORED) == 9, what="what came behind it is stored")
    until(lambda: replica.metric(OPEN) == replica.metric(GROUP_LAG) == 0, what="it has ended")
    assert len(replica.events("transaction_open")) == 1
