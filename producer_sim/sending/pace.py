"""How fast records are sent: by the simulated clock, a rate, both or neither. Pure."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from producer_sim.devices.records import Integers
from telemetry.timestamps import DAY_US, SECOND_US

_BURST_SECONDS = 0.1
"""What may be sent at once after a pause: a rate is a limit, so a pause is not caught up."""
_LONGEST_PAUSE = 0.2
_CATCHES_UP_FROM_US = 30 * DAY_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`speed` in simulated seconds per second, `rate` in messages per second; None: no limit.

    `real_time`: no reading is sent before its own time, so none lies in the future.
    """

    speed: float | None
    rate: float | None
    real_time: bool

    @classmethod
    def of_run(cls, *, speed: float | None, rate: float | None) -> Self:
        """Return the policy of `run`: it follows the clock unless only a rate is given."""
        if speed is None and rate is None:
            speed = 1.0
        return cls(speed=speed, rate=_bound(rate), real_time=True)

    @classmethod
    def free(cls, *, rate: float | None) -> Self:
        """Return the policy of `replay`: it follows no clock."""
        return cls(speed=None, rate=_bound(rate), real_time=False)

    def default_start(self, now_us: int, duration_us: int | None) -> int:
        """Return the second to begin at, in microseconds, so that no reading lies in the future.

        A run without end that may be faster than the clock begins 30 days ago and catches up.
        """
        if self.speed is not None and self.speed <= 1:
            back = 0
        else:
            back = _CATCHES_UP_FROM_US if duration_us is None else duration_us
        return (now_us - back) // SECOND_US * SECOND_US


class Pace:
    """How many of the next records may be sent now."""

    def __init__(self, *, policy: Policy, start_us: int, now_us: int) -> None:
        self._policy = policy
        self._start_us = start_us
        self._began_us = now_us
        self._filled_us = now_us
        self._tokens = 0.0

    def allowed(self, due: Integers, now_us: int) -> int:
        """Return how many records, due at these times in rising order, may be sent now."""
        count = int(np.searchsorted(due, self._horizon(now_us), side="right"))
        if self._policy.rate is None:
            return count
        earned = (now_us - self._filled_us) / SECOND_US * self._policy.rate
        burst = max(1.0, self._policy.rate * _BURST_SECONDS)
        self._tokens = min(self._tokens + earned, burst)
        self._filled_us = now_us
        return min(count, int(self._tokens))

    def spend(self, count: int) -> None:
        """Count records that have been sent."""
        self._tokens -= count

    def pause(self, next_due: int, now_us: int) -> float:
        """Return the seconds to wait before asking again."""
        policy = self._policy
        if next_due > self._horizon(now_us):
            speed = policy.speed or 1.0
            return min((next_due - self._horizon(now_us)) / SECOND_US / speed, _LONGEST_PAUSE)
        if policy.rate is None:
            return 0.0
        # Sending single messages at a high rate costs more than a burst every few milliseconds.
        return min(max((1.0 - self._tokens) / policy.rate, 0.005), _LONGEST_PAUSE)

    def _horizon(self, now_us: int) -> float:
        """Return the simulated instant up to which records are due."""
        horizon = math.inf
        if self._policy.speed is not None:
            horizon = self._start_us + (now_us - self._began_us) * self._policy.speed
        return min(horizon, now_us) if self._policy.real_time else horizon


def _bound(rate: float | None) -> float | None:
    return None if rate == math.inf else rate
