"""When a replica that stores nothing is to end. Pure."""

from dataclasses import dataclass

from consumer.errors import Stuck


@dataclass(slots=True)
class Watchdog:
    """Raises Stuck if for too long messages wait, the servers answer, and none is stored.

    Times are in seconds, of a clock that does not go back. `well_at` is when there was last a
    good reason to store nothing.
    """

    timeout_s: float
    well_at: float

    def excuse(self, *, now: float) -> None:
        """Note that there is a good reason now: nothing waits, or a server is away."""
        self.well_at = now

    def check(self, *, now: float, last_sign_of_life: float) -> None:
        """Raise Stuck if there has been neither a reason nor a sign of life for too long."""
        silent_for = now - max(self.well_at, last_sign_of_life)
        if silent_for > self.timeout_s:
            raise Stuck(seconds=round(silent_for))
