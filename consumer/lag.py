"""How far behind each partition of this replica is; ends a process that is stuck."""

import sys
import time

import structlog

from consumer.errors import Stuck
from consumer.kafka.ends import Ends, Look, Unanswered
from consumer.kafka.source import Source
from consumer.kafka.stopped import STOPPED_HELP
from consumer.metrics import Metrics
from consumer.owned import Owned
from consumer.pipeline import Pipeline
from consumer.postgres.database import Database
from consumer.schedule import Schedule
from consumer.stacks import dump_stacks
from consumer.watchdog import Watchdog

log = structlog.get_logger()


class Lag:
    """Shows the lag at every look, and raises Stuck when nothing moves for too long."""

    def __init__(
        self,
        *,
        ends: Ends,
        source: Source,
        schedule: Schedule,
        pipeline: Pipeline,
        database: Database,
        watchdog_timeout_s: float,
        metrics: Metrics,
    ) -> None:
        self._ends = ends
        self._source = source
        self._schedule = schedule
        self._pipeline = pipeline
        self._database = database
        self._metrics = metrics
        self._missing: frozenset[str] = frozenset()
        self._watchdog = Watchdog(watchdog_timeout_s, well_at=time.monotonic())

    async def run(self) -> None:
        """Show the lag for ever; raises Stuck, after the stacks have been dumped."""
        while True:
            look = await self._ends.next()
            if isinstance(look, Unanswered):
                self._source.brokers.note_unavailable(look.error)
                self._watchdog.excuse(now=time.monotonic())
                continue
            self._source.brokers.note_available()
            self._tell_missing(look)
            # Partitions that were revoked meanwhile are another replica's to show.
            owned = [one for one in self._schedule.owned if one.partition in look.stable]
            behind = [one for one in owned if await self._show(one, look)]
            # Nothing will move a partition that has been stopped, and that has been logged.
            self._watch(behind=any(one.partition not in self._source.stopped for one in behind))

    def _tell_missing(self, look: Look) -> None:
        """Log once that a topic is gone: the group shares what is left without a word."""
        if not self._source.has_assignment:
            return  # they may be about to be made
        for topic in sorted(look.missing - self._missing):
            log.error("topic_missing", topic=topic, help=STOPPED_HELP)
        self._missing = look.missing

    async def _show(self, owned: Owned, look: Look) -> int:
        """Set the partition's gauges and return how many messages it is behind."""
        end = look.stable[owned.partition]
        reached = await self._source.reached(owned.partition) or 0
        oldest = owned.oldest_waiting
        # Offsets that hold no records are never stored, and do not wait.
        done = owned.stored if oldest else max(owned.stored, reached)
        lag = 0 if done >= end else end - owned.stored
        owned.age.look(done=done, end=end, at=look.asked_at)
        # What is not read yet came after what was stored last.
        came_ms = owned.stored_up_to_ms if oldest is None else oldest.timestamp_ms
        seconds = owned.age.seconds(came_ms, now=time.time()) if lag else 0.0
        labels = (owned.partition.topic, owned.partition.partition)
        self._metrics.lag_messages.labels(*labels).set(lag)
        self._metrics.lag_seconds.labels(*labels).set(seconds)
        return lag

    def _watch(self, *, behind: bool) -> None:
        now = time.monotonic()
        idle = self._source.has_assignment and not behind
        if idle or not self._database.is_available:
            self._watchdog.excuse(now=now)
        try:
            self._watchdog.check(now=now, last_sign_of_life=self._pipeline.last_sign_of_life)
        except Stuck:
            dump_stacks(sys.stderr)  # here, while all tasks still stand where they are stuck
            raise
