"""A fleet's messages over simulated time, with faults mixed in. Pure: a seed repeats it."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from producer_sim.chaos import Chaos, Fault, Shares
from producer_sim.fleet import Fleet
from producer_sim.messages import FleetMessages
from producer_sim.records import Records


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run sends; times in microseconds, `duration_us` None: without end."""

    devices: int
    interval_us: int
    seed: int
    start_us: int
    duration_us: int | None
    fleet_name: str | None
    shares: Shares

    @property
    def end_us(self) -> int | None:
        return None if self.duration_us is None else self.start_us + self.duration_us

    @property
    def expected_readings(self) -> int | None:
        """The number of readings that the fleet takes, near enough for a progress bar."""
        if self.duration_us is None:
            return None
        return math.ceil(2 * self.devices * self.duration_us / self.interval_us)

    def described(self) -> dict[str, Any]:
        """Return the plan for the ledger's metadata."""
        return asdict(self)


class Load:
    """The records of a plan, in the order of sending."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chaos = Chaos(shares=plan.shares, seed=plan.seed, interval_us=plan.interval_us)

    @property
    def faults(self) -> Counter[Fault]:
        """How many readings each fault has befallen by now."""
        return self._chaos.befallen

    def chunks(self) -> Iterator[Records]:
        """Yield the records in bounded chunks."""
        plan = self._plan
        fleet = Fleet(
            size=plan.devices,
            seed=plan.seed,
            start_us=plan.start_us,
            interval_us=plan.interval_us,
        )
        messages = FleetMessages(numbers=fleet.numbers, fleet_name=plan.fleet_name)
        begins = plan.start_us
        while plan.end_us is None or begins < plan.end_us:
            for chunk in messages.of(fleet.advance(), until_us=plan.end_us):
                yield self._chaos.mix(chunk)
            begins += plan.interval_us
        yield self._chaos.rest(begins if plan.end_us is None else plan.end_us)
