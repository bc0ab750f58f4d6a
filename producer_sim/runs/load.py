"""The messages of a fleet over simulated time, with faults mixed in. Pure: a seed repeats them."""

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from producer_sim.devices.chaos import Chaos, Fault
from producer_sim.devices.fleet import Fleet
from producer_sim.devices.messages import FleetMessages
from producer_sim.devices.quirks.charges import CALM_US
from producer_sim.devices.quirks.pairs import Pairs
from producer_sim.devices.records import Records
from producer_sim.devices.world import SHORTEST_INTERVAL_S, World
from producer_sim.oracle.witness import Witness
from producer_sim.runs.plan import Plan
from telemetry.timestamps import SECOND_US


class Load:
    """The records of a plan, in the order of sending."""

    def __init__(self, plan: Plan) -> None:
        """Raises ValueError for a world without an end or with intervals that do not suit it."""
        self._plan = plan
        self._chaos = Chaos(shares=plan.shares, seed=plan.seed, interval_us=plan.interval_us)
        world = _world(plan)
        self._quirks = _quirks(plan)
        self._fleet = Fleet(
            size=plan.devices - plan.quirky_devices,
            seed=plan.seed,
            start_us=plan.start_us,
            interval_us=plan.interval_us,
            world=world,
        )
        self._messages = FleetMessages(numbers=self._fleet.numbers, fleet_name=plan.fleet_name)
        self.witness: Witness | None = None
        """Knows the truth of a run with a world; None without one."""
        if world is not None and plan.end_us is not None:
            self.witness = Witness(
                world=world,
                fleet=self._fleet,
                meter_ids=self._messages.meter_ids,
                vehicle_ids=self._messages.vehicle_ids,
                start_us=plan.start_us,
                end_us=plan.end_us,
                interval_us=plan.interval_us,
                quirks=self._quirks,
            )

    @property
    def faults(self) -> Counter[Fault]:
        """How many readings have got each fault so far."""
        return self._chaos.counts

    def chunks(self) -> Iterator[Records]:
        """Yield the records in chunks of bounded size. May be called once."""
        plan = self._plan
        begins = plan.start_us
        while plan.end_us is None or begins < plan.end_us:
            sent = self._tick()
            yield from (
                sent
                if self._quirks is None
                else _merged(sent, self._quirks.between(begins, begins + plan.interval_us))
            )
            begins += plan.interval_us
        yield self._chaos.rest(begins if plan.end_us is None else plan.end_us)

    def _tick(self) -> Iterator[Records]:
        lived = self._fleet.advance()
        read = lived if self.witness is None else self.witness.read(lived)
        withheld: list[tuple[int, Fault]] = []
        made = 0
        for chunk in self._messages.of(read, until_us=self._plan.end_us):
            mixed = self._chaos.mix(chunk)
            withheld += ((made + row, fault) for row, fault in self._chaos.withheld)
            made += len(chunk)
            yield mixed
        if self.witness is not None:
            self.witness.take(lived, withheld)


def _world(plan: Plan) -> World | None:
    """Return the plan's world; raises ValueError if the plan has no end or too short intervals."""
    if plan.registers is None:
        return None
    if plan.duration_us is None:
        raise ValueError("a world needs a duration")
    if plan.interval_us < SHORTEST_INTERVAL_S * SECOND_US:
        raise ValueError(f"a world needs an interval of {SHORTEST_INTERVAL_S:g} s or more")
    return World.drawn(
        size=plan.devices - plan.quirky_devices,
        seed=plan.seed,
        ticks=math.ceil(plan.duration_us / plan.interval_us),
        registers=plan.registers,
        calm=math.ceil(CALM_US / plan.interval_us),
    )


def _quirks(plan: Plan) -> Pairs | None:
    """Return the pairs with quirks; raises ValueError if they cannot be in the plan."""
    if not plan.quirky_devices:
        return None
    if plan.registers is None or plan.end_us is None:
        raise ValueError("quirks need a world")
    return Pairs(
        numbers=range(plan.devices - plan.quirky_devices, plan.devices),
        seed=plan.seed,
        start_us=plan.start_us,
        end_us=plan.end_us,
        interval_us=plan.interval_us,
        fleet_name=plan.fleet_name,
    )


def _merged(chunks: Iterator[Records], others: Records) -> Iterator[Records]:
    """Yield all records of a tick in the order of time."""
    for chunk in chunks:
        last = chunk.due[-1] if len(chunk) else 0
        due = int(np.searchsorted(others.due, last, side="right"))
        both = chunk + others.between(0, due)
        yield both.take(np.argsort(both.due, kind="stable"))
        others = others.between(due, len(others))
    if len(others):
        yield others
