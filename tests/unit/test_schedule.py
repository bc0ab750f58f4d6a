"""What is read next and what is flushed next, rule by rule. Times are plain numbers of seconds."""

from aiokafka import TopicPartition

from consumer.age import Age
from consumer.kafka.records import Record, Records
from consumer.owned import Owned
from consumer.schedule import Schedule
from consumer.settings import FlushSettings
from telemetry.streams import METER, VEHICLE, Stream
from tests.by_column import by_column

AGE_S = 0.15
ROWS = 4
MEBIBYTE = 1 << 20
SETTINGS = FlushSettings(
    batch_max_rows=ROWS,
    batch_max_bytes=MEBIBYTE,
    flush_interval_ms=int(AGE_S * 1_000),
    buffer_max_bytes=4 * MEBIBYTE,
    flush_connections=2,
)


def scheduled(
    count: int, *, vehicles: int = 0, settings: FlushSettings = SETTINGS
) -> tuple[Schedule, list[Owned]]:
    """Return a schedule of so many partitions of meters, then of vehicles; none is read yet."""
    schedule = Schedule(settings)
    streams = [(METER, number) for number in range(count)]
    streams += [(VEHICLE, number) for number in range(vehicles)]
    owned = [owned_of(stream, number) for stream, number in streams]
    for one in owned:
        schedule.own(one)
    return schedule, owned


def owned_of(stream: Stream, number: int) -> Owned:
    return Owned(TopicPartition(stream.topic, number), stream, 0, Age(stored_at=0.0))


def take(
    schedule: Schedule,
    owned: Owned,
    count: int,
    *,
    now: float,
    has_more: bool = False,
    size: int = 1,
    first: int = 0,
) -> None:
    """Let a fetch bring records of this partition alone, of `size` bytes."""
    records = records_of(count, size=size, first=first)
    records.has_more = has_more
    schedule.take([owned.partition], {owned.partition: records}, now=now)


def records_of(count: int, *, size: int = 1, first: int = 0) -> Records:
    return by_column(
        Record(first + place, 1_770_717_600_000 + place, b"", bytes(size), ())
        for place in range(count)
    )


def hungry(schedule: Schedule, *, now: float, unpacked_bytes: int = 0) -> list[int]:
    """Return the numbers of the partitions that are read from now."""
    asked = schedule.hungry(now=now, unpacked_bytes=unpacked_bytes)
    return [one.partition for one in asked]


def due(schedule: Schedule, *, now: float, unpacked_bytes: int = 0) -> Owned | None:
    return schedule.due(now=now, unpacked_bytes=unpacked_bytes)


def begun(schedule: Schedule, owned: Owned, *, now: float) -> Owned:
    """Begin the flush that is due, which is this partition's."""
    assert due(schedule, now=now) is owned
    schedule.begin(owned)
    return owned


# What is read.


def test_every_partition_is_read_while_there_is_room() -> None:
    schedule, _ = scheduled(3)
    assert hungry(schedule, now=0.0) == [0, 1, 2]


def test_a_partition_whose_batch_is_full_is_not_read() -> None:
    schedule, owned = scheduled(3)
    take(schedule, owned[1], ROWS, now=0.0)
    assert hungry(schedule, now=0.0) == [0, 2]


def test_a_partition_is_read_while_the_batch_before_is_flushed() -> None:
    schedule, owned = scheduled(2)
    take(schedule, owned[0], ROWS, now=0.0)
    begun(schedule, owned[0], now=0.0)
    assert hungry(schedule, now=0.0) == [0, 1]


def test_nothing_is_read_once_there_is_a_full_batch_for_each_connection() -> None:
    schedule, owned = scheduled(3)
    for one in owned[: SETTINGS.flush_connections]:
        take(schedule, one, ROWS, now=0.0)
    assert hungry(schedule, now=0.0) == []


def test_of_what_has_more_fetched_the_batches_that_wait_longest_are_filled_first() -> None:
    schedule, owned = scheduled(5)
    for number, arrived in ((1, 0.3), (2, 0.1), (3, 0.2)):
        take(schedule, owned[number], 1, now=arrived, has_more=True)
    take(schedule, owned[4], 1, now=0.0)  # nothing more of it has been fetched
    assert hungry(schedule, now=0.3) == [0, 2, 3]


def test_a_fetch_that_brings_nothing_says_that_no_more_is_fetched() -> None:
    schedule, owned = scheduled(1)
    take(schedule, owned[0], 1, now=0.0, has_more=True)
    assert schedule.is_behind
    schedule.take([owned[0].partition], {}, now=0.0)
    assert not schedule.is_behind


def test_a_replica_that_owns_nothing_yet_counts_as_behind() -> None:
    assert Schedule(SETTINGS).is_behind


def test_what_comes_of_a_partition_that_is_not_owned_any_more_is_left() -> None:
    schedule, owned = scheduled(1)
    schedule.disown(owned[0])
    take(schedule, owned[0], 1, now=0.0)
    assert schedule.held_bytes == 0


# Memory.


def test_nothing_is_read_while_memory_is_used_up_and_everything_is_due() -> None:
    schedule, owned = scheduled(3)
    take(schedule, owned[0], 1, now=0.0, size=3 * MEBIBYTE)
    begun(schedule, owned[0], now=0.0)
    take(schedule, owned[1], 1, now=0.0)
    assert hungry(schedule, now=0.0) == [0, 1, 2]
    assert due(schedule, now=0.0) is None  # it is young
    take(schedule, owned[0], 1, now=0.0, size=MEBIBYTE, first=1)
    assert schedule.is_crowded(0)
    assert hungry(schedule, now=0.0) == []
    assert due(schedule, now=0.0) is owned[1]
    schedule.store(owned[0], records_of(1))
    assert not schedule.is_crowded(0)


def test_what_is_unpacked_takes_up_memory_but_leaves_room_for_one_full_batch() -> None:
    schedule, owned = scheduled(1)
    assert not schedule.is_crowded(100 * MEBIBYTE)
    take(schedule, owned[0], 1, now=0.0, size=MEBIBYTE // 2)
    assert not schedule.is_crowded(100 * MEBIBYTE)
    take(schedule, owned[0], 1, now=0.0, size=MEBIBYTE // 2)
    assert schedule.is_crowded(100 * MEBIBYTE)
    assert not schedule.is_crowded(0)


def test_what_a_contended_stream_holds_does_not_crowd_the_others() -> None:
    schedule, (meter, vehicle) = scheduled(1, vehicles=1)
    take(schedule, meter, 1, now=0.0, size=4 * MEBIBYTE)
    schedule.begin(meter)
    assert schedule.is_crowded(0)
    schedule.postpone(meter, retry_at=1.0)
    assert not schedule.is_crowded(0)
    assert schedule.hungry(now=0.0, unpacked_bytes=0) == [vehicle.partition]


# What is flushed.


def test_a_batch_is_due_once_it_is_full_or_old() -> None:
    schedule, (owned,) = scheduled(1)
    take(schedule, owned, 1, now=0.0)
    assert due(schedule, now=AGE_S - 0.01) is None
    assert due(schedule, now=AGE_S) is owned
    take(schedule, owned, ROWS - 1, now=0.0, first=1)
    assert due(schedule, now=0.0) is owned


def test_a_batch_of_which_more_has_been_fetched_is_filled_first_however_old() -> None:
    schedule, (owned,) = scheduled(1)
    take(schedule, owned, 1, now=0.0, has_more=True)
    assert due(schedule, now=100.0) is None
    take(schedule, owned, ROWS - 1, now=100.0, has_more=True, first=1)
    assert due(schedule, now=100.0) is owned


def test_the_batch_that_waits_longest_is_flushed_first() -> None:
    schedule, owned = scheduled(3)
    for number, arrived in ((0, 0.3), (1, 0.1), (2, 0.2)):
        take(schedule, owned[number], ROWS, now=arrived)
    order = [begun(schedule, owned[number], now=1.0) for number in (1, 2, 0)]
    assert [one.partition.partition for one in order] == [1, 2, 0]


def test_a_partition_has_one_flight_at_a_time() -> None:
    schedule, (owned,) = scheduled(1)
    take(schedule, owned, ROWS, now=0.0)
    begun(schedule, owned, now=0.0)
    take(schedule, owned, ROWS, now=0.0, first=ROWS)
    assert due(schedule, now=100.0) is None
    schedule.store(owned, records_of(ROWS))
    assert owned.stored == ROWS
    assert due(schedule, now=100.0) is owned


def test_what_was_stored_last_is_known_with_its_time() -> None:
    schedule, (owned,) = scheduled(1)
    take(schedule, owned, 2, now=0.0, first=7)
    begun(schedule, owned, now=1.0)
    schedule.store(owned, owned.waiting.records)
    assert (owned.stored, owned.stored_up_to_ms) == (9, 1_770_717_600_001)
    assert owned.flight is None


# A conflict: another session has locked a table.


def test_what_postgresql_has_forgotten_is_told_from_what_was_stored_meanwhile() -> None:
    schedule, [kept, forgotten, unknown, flushed, lost] = scheduled(5)
    for one in (kept, forgotten, unknown, flushed, lost):
        one.stored = 100
    believed = schedule.believed
    flushed.stored = 120
    schedule.disown(lost)
    stored = {one.partition: 90 for one in (forgotten, flushed, lost)} | {kept.partition: 100}
    assert schedule.forgotten(believed, stored) == [forgotten, unknown]
    # The fence judges a flush that is under way, whether it began before the look or after it.
    take(schedule, forgotten, 1, now=0)
    begun(schedule, forgotten, now=AGE_S)
    assert schedule.forgotten(believed, stored) == [unknown]
    assert set(schedule.believed) == {kept, unknown, flushed}


def test_a_flight_in_conflict_is_tried_again_at_its_time_with_what_was_decoded() -> None:
    schedule, (owned,) = scheduled(1)
    take(schedule, owned, 1, now=0.0)
    flight = schedule.begin(owned)
    schedule.postpone(owned, retry_at=5.0)
    schedule.end(owned)
    assert owned.flight is flight
    assert due(schedule, now=4.9) is None
    begun(schedule, owned, now=5.0)
    assert (owned.flight, flight.conflicts) == (flight, 1)


def test_of_a_contended_stream_nothing_is_read_and_one_flush_at_a_time_is_tried() -> None:
    schedule, owned = scheduled(3, vehicles=1)
    for one in owned:
        take(schedule, one, ROWS, now=0.0)
    for one in owned[:2]:
        schedule.begin(one)
        schedule.postpone(one, retry_at=1.0)
    assert hungry(schedule, now=1.0) == []
    begun(schedule, owned[0], now=1.0)
    begun(schedule, owned[3], now=1.0)  # the other stream goes on
    assert due(schedule, now=1.0) is None
    schedule.store(owned[0], records_of(ROWS))
    assert not schedule.contended
    begun(schedule, owned[1], now=1.0)
    begun(schedule, owned[2], now=1.0)


def test_the_first_flush_that_is_stored_lets_all_of_its_stream_try_at_once() -> None:
    schedule, owned = scheduled(2)
    for one in owned:
        take(schedule, one, ROWS, now=0.0)
        schedule.begin(one)
    schedule.postpone(owned[0], retry_at=100.0)
    schedule.store(owned[1], records_of(ROWS))
    assert due(schedule, now=1.0) is owned[0]


# A refusal: PostgreSQL will not do what it is asked.


def test_what_is_refused_is_dropped_from_memory_and_read_again_at_its_time() -> None:
    schedule, owned = scheduled(2)
    take(schedule, owned[0], ROWS, now=0.0)
    begun(schedule, owned[0], now=0.0)
    take(schedule, owned[0], 1, now=0.0, first=ROWS, has_more=True)
    assert schedule.refuse(owned[0], now=10.0, pause=2.0) == 2.0
    assert schedule.held_bytes == 0
    assert not schedule.is_behind
    assert owned[0].stored == 0
    assert hungry(schedule, now=11.9) == [1]
    assert hungry(schedule, now=12.0) == [0, 1]


def test_what_is_refused_is_not_tried_before_its_time_though_it_was_fetched_already() -> None:
    schedule, (owned,) = scheduled(1)
    schedule.refuse(owned, now=0.0, pause=1.0)
    take(schedule, owned, ROWS, now=0.5)
    assert due(schedule, now=0.9) is None
    schedule.is_draining = True
    assert due(schedule, now=0.9) is None
    assert due(schedule, now=1.0) is owned


def test_of_what_is_refused_no_more_is_read_than_a_try_needs_and_it_is_due_at_once() -> None:
    schedule, (owned,) = scheduled(1)
    schedule.refuse(owned, now=0.0, pause=1.0)
    take(schedule, owned, 1, now=1.0, has_more=True)
    assert hungry(schedule, now=1.0) == []
    begun(schedule, owned, now=1.0)
    assert hungry(schedule, now=1.0) == []


def test_all_that_are_refused_together_try_about_as_often_as_one_would() -> None:
    schedule, owned = scheduled(3, vehicles=1)
    assert [schedule.refuse(one, now=0.0, pause=2.0) for one in owned] == [2.0, 4.0, 6.0, 2.0]


def test_the_first_that_is_not_refused_any_more_lets_the_others_try_at_once() -> None:
    schedule, owned = scheduled(2)
    for one in owned:
        schedule.refuse(one, now=0.0, pause=100.0)
    take(schedule, owned[0], 1, now=100.0)
    begun(schedule, owned[0], now=100.0)
    schedule.store(owned[0], records_of(1))
    assert owned[0].refusals == 0
    assert hungry(schedule, now=100.0) == [0, 1]


def test_a_flush_that_was_never_refused_does_not_speak_for_those_that_are() -> None:
    schedule, owned = scheduled(2)
    schedule.refuse(owned[1], now=0.0, pause=100.0)
    take(schedule, owned[0], ROWS, now=0.0)
    begun(schedule, owned[0], now=0.0)
    schedule.store(owned[0], records_of(ROWS))
    assert hungry(schedule, now=0.0) == [0]


# Partitions come and go.


def test_while_it_drains_nothing_is_read_and_everything_is_due() -> None:
    schedule, owned = scheduled(2)
    take(schedule, owned[0], 1, now=0.0, has_more=True)
    schedule.is_draining = True
    take(schedule, owned[1], 1, now=0.0)  # a fetch that was under way brings it
    assert hungry(schedule, now=0.0) == []
    assert not schedule.is_drained
    begun(schedule, owned[0], now=0.0)
    assert due(schedule, now=0.0) is None
    schedule.store(owned[0], records_of(1))
    assert schedule.is_drained


def test_what_is_refused_does_not_hold_up_a_drain() -> None:
    schedule, (owned,) = scheduled(1)
    schedule.refuse(owned, now=0.0, pause=1.0)
    take(schedule, owned, 1, now=1.0)
    assert schedule.is_drained
    assert schedule.held_records == 1


def test_a_partition_lost_in_mid_flush_is_counted_until_the_flush_has_ended() -> None:
    schedule, (owned,) = scheduled(1)
    take(schedule, owned, 1, now=0.0, size=1_000)
    begun(schedule, owned, now=1.0)
    of_the_flight = schedule.held_bytes
    take(schedule, owned, 1, now=1.0, size=1_000, first=1)
    schedule.disown(owned)
    assert schedule.held_bytes == of_the_flight
    schedule.end(owned)
    assert schedule.held_bytes == 0


def test_a_flight_whose_partition_is_lost_is_not_kept_for_another_try() -> None:
    schedule, (owned,) = scheduled(1)
    take(schedule, owned, 1, now=0.0)
    begun(schedule, owned, now=1.0)
    schedule.disown(owned)
    schedule.postpone(owned, retry_at=2.0)
    schedule.end(owned)
    assert schedule.held_bytes == 0


def test_a_flight_that_waits_is_dropped_with_its_partition() -> None:
    schedule, (owned,) = scheduled(1)
    take(schedule, owned, 1, now=0.0)
    begun(schedule, owned, now=1.0)
    schedule.postpone(owned, retry_at=2.0)
    schedule.disown(owned)
    assert schedule.held_bytes == 0


def test_a_partition_that_comes_back_is_not_taken_for_what_it_was() -> None:
    schedule, (before,) = scheduled(1)
    schedule.disown(before)
    now = owned_of(METER, 0)
    schedule.own(now)
    assert schedule.owns(now)
    assert not schedule.owns(before)
