"""A batch on its way to PostgreSQL: from its first try until it is stored or given up."""

from dataclasses import dataclass

from consumer.batch import Batch
from consumer.flush.flush import Flush


@dataclass(slots=True, eq=False)
class Flight:
    """The one flush of a partition that has begun and has not ended.

    `decoded` is kept from one try to the next. `conflicts` counts the tries in a row that met
    another session's lock. `retry_at` is when the next try may begin, in seconds; None while a
    try is under way.
    """

    batch: Batch
    decoded: Flush | None = None
    conflicts: int = 0
    retry_at: float | None = None

    @property
    def is_under_way(self) -> bool:
        return self.retry_at is None

    def is_due(self, *, now: float) -> bool:
        return self.retry_at is not None and now >= self.retry_at

    def forget_conflicts(self) -> None:
        """Let the next try begin at once: what was in the way is gone."""
        self.conflicts = 0
        if self.retry_at is not None:
            self.retry_at = 0.0
