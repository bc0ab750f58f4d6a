"""Whether copies of stored readings are expected, which decides how history is written. Pure."""

from dataclasses import dataclass

PATIENCE = 100  # batches of a partition


@dataclass(slots=True)
class Copies:
    """Knows whether a partition is expected to hold copies of stored readings.

    A copy that COPY meets is an ERROR in PostgreSQL's log, and the batch is begun anew. So after
    the first one more are expected, until PATIENCE batches of the partition had none.
    """

    _patience: int = 0

    @property
    def are_expected(self) -> bool:
        return self._patience > 0

    def note(self, *, met: bool) -> None:
        """Note whether a batch had copies."""
        self._patience = PATIENCE if met else max(0, self._patience - 1)
