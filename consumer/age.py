"""The age of the oldest message of a partition that is not stored yet. Pure.

A record's time is what its producer says. It may be in seconds or microseconds instead of Kafka's
milliseconds, from the clock of a meter, or missing. It is believed only if the wait can have begun
then.

The wait is bounded by looks at the end of Kafka's log: once everything that was there at one look
is stored, all that still waits came after that look.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from telemetry.timestamps import EARLIEST_US, SECOND_US

_EARLIEST_S = EARLIEST_US / SECOND_US
_MS = 1_000


class _Look(NamedTuple):
    at: float
    end: int


@dataclass(slots=True)
class Age:
    """How long messages of one partition have waited; all times are in seconds since 1970.

    `stored_at` is when the group last stored something of it, before this replica took it over.
    What waited then may be older, and what came after a stop of all replicas may be younger. So it
    is an estimate only: the best one for a backlog whose records' times cannot be believed.
    """

    stored_at: float
    caught_up_at: float | None = field(default=None, init=False)
    _mark: _Look | None = field(default=None, init=False)

    def look(self, *, done: int, end: int, at: float) -> None:
        """Learn that nothing waits in front of `done`, and that the log ended at `end` then.

        A partition that is never quite empty is caught up too, with what was there at an earlier
        look. One such look is kept at a time, so the bound is at most twice the true wait plus two
        intervals between looks.
        """
        if done >= end:
            self.caught_up_at, self._mark = at, None
        elif self._mark is None:
            self._mark = _Look(at, end)
        elif done >= self._mark.end:
            self.caught_up_at, self._mark = self._mark.at, _Look(at, end)

    def seconds(self, record_ms: int, *, now: float) -> float:
        """Return the age of what waits, whose oldest record says that it came at `record_ms`.

        Until this replica has caught up, every time from 2000 to now is believed: after an outage
        of all replicas a backlog is hours old.
        """
        earliest = _EARLIEST_S if self.caught_up_at is None else self.caught_up_at
        came = record_ms / _MS
        if not earliest <= came <= now:
            came = self.stored_at if self.caught_up_at is None else self.caught_up_at
        return max(0.0, now - came)
