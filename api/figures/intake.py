"""How fast a consumer group takes messages in, and how many still wait in Kafka."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from api.figures.ends import Ends, Span, Unanswered
from api.figures.pace import Look, Pace, Partition, Rate
from api.postgres.database import Database
from api.problems import Problem
from api.queries.group_progress import group_progress
from api.queries.refusals import schema_explained
from runtime.kafka.settings import KafkaSettings
from runtime.tasks import was_cancelled
from telemetry.streams import BY_TOPIC

_LOOK_S = 10.0


@dataclass(frozen=True, slots=True)
class Taken:
    """How far the group has come in PostgreSQL."""

    at: datetime
    offsets: Mapping[Partition, int]
    still_s: float | None
    """Seconds since the group moved last; None if it never has."""
    other_groups: list[str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many messages the group had yet to take in, and how many partitions there are."""

    at: datetime
    messages: int
    partitions: int
    is_stuck: bool
    """Whether messages waited at the look before, too, and none was taken in since."""


class Intake:
    """Looks at the offsets of one group every few seconds, in PostgreSQL and in Kafka."""

    def __init__(self, *, database: Database, kafka: KafkaSettings, group: str) -> None:
        self._database = database
        self._ends = Ends(kafka=kafka)
        self._pace = Pace()
        # Those of the last look, if messages waited then.
        self._offsets: Mapping[Partition, int] | None = None
        self.group = group
        self.waiting: Waiting | None = None
        self.fault: str | None = None
        """The server that did not answer the last look; `waiting` is older then."""

    @property
    def rate(self) -> Rate | None:
        return self._pace.rate()

    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        try:
            await self.look()
            while not was_cancelled():
                await asyncio.sleep(_LOOK_S)
                await self.look()
        finally:
            self._ends.close()

    async def look(self) -> None:
        """Find out what waits; a look that fails keeps what was known, and notes the fault."""
        # PostgreSQL first: what is sent and stored in between counts as waiting, but the count is
        # never too low.
        try:
            taken = await self.taken()
        except (Problem, psycopg.Error):
            self.fault = "PostgreSQL"
            return
        try:
            spans = await self._ends.look()
        except Unanswered:
            self.fault = "Kafka"
            return
        messages = count_waiting(taken.offsets, spans)
        before, self._offsets = self._offsets, taken.offsets if messages else None
        is_stuck = bool(messages) and before == taken.offsets
        self.waiting = Waiting(datetime.now(UTC), messages, len(spans), is_stuck)
        self.fault = None

    async def taken(self) -> Taken:
        """Return how far the group has come by now; raises Problem (503)."""
        try:
            async with self._database.read() as connection, schema_explained():
                row = await group_progress(connection, self.group, list(BY_TOPIC))
        except (Problem, psycopg.Error):
            self._pace.clear()
            raise
        offsets = {(one["topic"], one["partition"]): one["next_offset"] for one in row["offsets"]}
        self._pace.add(Look(row["at"], offsets))
        return Taken(row["at"], offsets, row["still_s"], row["other_groups"])


def count_waiting(offsets: Mapping[Partition, int], spans: Mapping[Partition, Span]) -> int:
    """Return how many messages lie between a group's offsets and the partitions' ends.

    If the group never read a partition, or the records at its offset are gone, it begins with the
    partition's first record.
    """
    return sum(
        max(0, span.end - max(span.first, offsets.get(partition, 0)))
        for partition, span in spans.items()
    )
