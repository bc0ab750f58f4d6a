"""Whatever happens in whatever order: no record is skipped, doubled or starved, no byte miscounted.

A log of each partition stands behind the schedule, and what a flush stores is compared with it.
"""

from typing import Any

import hypothesis.strategies as st
from aiokafka import TopicPartition
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumer.age import Age
from consumer.kafka.records import Records
from consumer.owned import Owned
from consumer.schedule import Schedule
from consumer.settings import FlushSettings
from telemetry.streams import BY_TOPIC, METER, VEHICLE

SETTINGS = FlushSettings(
    batch_max_rows=6,
    batch_max_bytes=1 << 16,
    flush_interval_ms=150,
    buffer_max_bytes=1 << 20,
    flush_connections=2,
)
PARTITIONS = [TopicPartition(one.topic, number) for one in (METER, VEHICLE) for number in range(3)]
PAUSES = st.sampled_from([0.05, 0.2, 1.0])
# The last fills a batch, and a few of it the memory.
SIZES = st.sampled_from([0, 100, 40_000])


class Machine(RuleBasedStateMachine):
    """A pipeline without clients: it asks the schedule, and chance says how flushes end."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule = Schedule(SETTINGS)
        self.now = 0.0
        self.unpacked = 0
        self.stored = dict.fromkeys(PARTITIONS, 0)
        self.position = dict.fromkeys(PARTITIONS, 0)
        self.under_way: list[Owned] = []
        # The pauses after a refusal and after a conflict: what ends one need not end the other.
        self.not_before: dict[Owned, float] = {}
        self.conflict_until: dict[Owned, float] = {}
        self.open_all()

    # What goes on.

    @rule()
    def open_all(self) -> None:
        """Take over what is not owned, once flushes of an earlier time have ended."""
        self.schedule.is_draining = False
        known = {one.partition for one in [*self.schedule.owned, *self.under_way]}
        for partition in PARTITIONS:
            if partition not in known:
                stored, stream = self.stored[partition], BY_TOPIC[partition.topic]
                self.schedule.own(Owned(partition, stream, stored, Age(stored_at=0.0)))
                self.position[partition] = stored

    @rule(
        seconds=st.sampled_from([0.0, 0.02, 0.2]),
        unpacked=st.sampled_from([0, 0, 1 << 20]),
        counts=st.lists(st.integers(0, 8), min_size=6, max_size=6),
        size=SIZES,
        behind=st.sets(st.sampled_from(range(6))),
    )
    def fetch(
        self, seconds: float, unpacked: int, counts: list[int], size: int, behind: set[int]
    ) -> None:
        self.now += seconds
        self.unpacked = unpacked
        asked = self.schedule.hungry(now=self.now, unpacked_bytes=self.unpacked)
        self.check_read(asked)
        fetched = {}
        for place, partition in enumerate(PARTITIONS):
            if partition in asked and counts[place]:
                fetched[partition] = self.read(partition, counts[place], size)
                fetched[partition].has_more = place in behind
        self.schedule.take(asked, fetched, now=self.now)
        self.dispatch()

    def check_read(self, asked: list[TopicPartition]) -> None:
        if self.schedule.is_draining or self.schedule.is_crowded(self.unpacked):
            assert not asked
        for one in self.schedule.owned:
            if one.partition in asked:
                assert one.stream not in self.schedule.contended
                assert self.not_before.get(one, 0.0) <= self.now
                assert not (one.refusals and one.footprint)

    def read(self, partition: TopicPartition, count: int, size: int) -> Records:
        begin = self.position[partition]
        self.position[partition] += count
        offsets = range(begin, begin + count)
        return Records(offsets, [0] * count, [None] * count, [bytes(size)] * count)

    def dispatch(self) -> None:
        while len(self.under_way) < SETTINGS.flush_connections:
            owned = self.schedule.due(now=self.now, unpacked_bytes=self.unpacked)
            if owned is None:
                return
            self.check_due(owned)
            flight = self.schedule.begin(owned)
            begin = flight.batch.records.offsets[0]
            assert begin == owned.stored == self.stored[owned.partition]
            self.under_way.append(owned)

    def check_due(self, owned: Owned) -> None:
        assert owned not in self.under_way
        assert self.not_before.get(owned, 0.0) <= self.now
        assert self.conflict_until.get(owned, 0.0) <= self.now
        if owned.stream in self.schedule.contended:
            assert not any(
                one.stream is owned.stream and self.schedule.owns(one) for one in self.under_way
            )

    # How a flush ends: the one that began first, or the one before it, or …

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 2))
    def store(self, which: int) -> None:
        owned = self.under_way.pop(which % len(self.under_way))
        assert owned.flight is not None
        records, was_refused = owned.flight.batch.records, owned.refusals > 0
        begin = self.stored[owned.partition]
        assert list(records.offsets) == list(range(begin, begin + len(records)))
        self.stored[owned.partition] += len(records)
        self.schedule.store(owned, records)
        self.schedule.end(owned)
        for other in self.schedule.of_stream(owned.stream):
            assert not other.is_contended
            self.conflict_until.pop(other, None)
            if was_refused or not other.refusals:
                self.not_before.pop(other, None)
                assert other.retry_at <= self.now, "what was in the way is gone"
        self.dispatch()

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 2), pause=PAUSES)
    def meet_a_conflict(self, which: int, pause: float) -> None:
        owned = self.under_way.pop(which % len(self.under_way))
        self.schedule.postpone(owned, retry_at=self.now + pause)
        if self.schedule.owns(owned):
            self.conflict_until[owned] = self.now + pause
            assert owned.stream in self.schedule.contended
        self.schedule.end(owned)
        self.dispatch()

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 2), pause=PAUSES)
    def meet_a_refusal(self, which: int, pause: float) -> None:
        owned = self.under_way.pop(which % len(self.under_way))
        if self.schedule.owns(owned):
            seconds = self.schedule.refuse(owned, now=self.now, pause=pause)
            self.not_before[owned] = self.now + max(seconds, pause)
            self.position[owned.partition] = owned.stored
            assert owned.footprint == 0
        self.schedule.end(owned)
        self.dispatch()

    @precondition(lambda self: self.schedule.owned)
    @rule(which=st.integers(0, 5))
    def lose(self, which: int) -> None:
        owned = list(self.schedule.owned)
        self.schedule.disown(owned[which % len(owned)])

    # What is never starved.

    @rule(seconds=st.sampled_from([0.0, 100.0]), leave=st.booleans())
    def drain(self, *, seconds: float, leave: bool) -> None:
        """Store what is held, in as many flushes as there are flights and batches."""
        self.schedule.is_draining = True
        self.now += seconds
        self.dispatch()
        for _ in range(3 * len(PARTITIONS)):
            if self.under_way:
                self.store(0)
        assert not self.under_way
        if seconds:  # no pause is this long
            assert self.schedule.is_drained
        for owned in list(self.schedule.owned):
            if leave:
                self.schedule.disown(owned)
        if leave:
            assert self.schedule.held_bytes == self.schedule.held_records == 0

    @precondition(lambda self: not self.schedule.is_draining)
    @rule(arrivals=st.lists(st.integers(0, 8), min_size=6, max_size=6), size=SIZES)
    def wait_while_others_are_busy(self, arrivals: list[int], size: int) -> None:
        """Flush what is due before what came later, however much keeps coming for others."""
        self.unpacked = 0
        while self.under_way:
            self.store(0)
        self.now += 0.2
        old = [
            one
            for one in self.schedule.owned
            if one.batch and not (one.has_more or one.refusals or one.flight)
            if one.stream not in self.schedule.contended
        ]
        if not old:
            return
        waiting = min(old, key=lambda one: one.batch.opened_at)
        for _ in range(len(PARTITIONS)):
            self.now += 0.2  # what comes is soon due too
            asked = self.schedule.hungry(now=self.now, unpacked_bytes=0)
            fetched: dict[TopicPartition, Any] = {
                one: self.read(one, count, size)
                for one, count in zip(PARTITIONS, arrivals, strict=True)
                if one in asked and one != waiting.partition and count
            }
            self.schedule.take(asked, fetched, now=self.now)
            self.dispatch()
            if waiting in self.under_way:
                return
            self.store(0)
        raise AssertionError("starved")

    # What always holds.

    @invariant()
    def bytes_counted_are_bytes_held(self) -> None:
        lost = [one for one in self.under_way if not self.schedule.owns(one)]
        held = sum(one.footprint for one in [*self.schedule.owned, *lost])
        assert self.schedule.held_bytes == held

    @invariant()
    def a_flight_is_under_way_or_waits_for_its_next_try(self) -> None:
        under_way = {one for one in self.schedule.owned if one.is_under_way}
        assert under_way == {one for one in self.under_way if self.schedule.owns(one)}
        assert all(one.is_contended for one in self.schedule.owned if waits(one))

    @invariant()
    def what_is_held_follows_what_is_stored_without_a_gap(self) -> None:
        for one in self.schedule.owned:
            offsets = list(one.flight.batch.records.offsets) if one.flight else []
            offsets += one.batch.records.offsets
            assert one.stored == self.stored[one.partition]
            assert offsets == list(range(one.stored, self.position[one.partition]))


def waits(owned: Owned) -> bool:
    return owned.flight is not None and (owned.flight.retry_at or 0.0) > 0.0


Machine.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # on a machine that does much else
)
TestScheduleInvariants = Machine.TestCase
