"""Records the truth of a run while its readings are made. Pure, except for `keep`.

The truth follows from the energies of each interval and from which readings were sent. The product
is not asked.
"""

from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from producer_sim.devices.chaos import Fault
from producer_sim.devices.fleet import HOUR_US, Fleet, Mode, Tick
from producer_sim.devices.quirks.device import NANO
from producer_sim.devices.quirks.pairs import Pairs
from producer_sim.devices.records import Floats, Integers
from producer_sim.devices.registers import Account, Counters
from producer_sim.devices.world import (
    NEVER,
    NO_VEHICLE,
    UNITS_PER_KWH,
    Condition,
    Counting,
    Tie,
    World,
)
from producer_sim.oracle.shares import Shares, by_hour
from producer_sim.oracle.truth import FIGURES, Bond, Device, Figures, Truth, Withheld, write_truth

_METER, _VEHICLE = 0, 1
_TOLD, _LIVED, _READINGS = 0, 2, 4  # the places of the meter's figures; the vehicle's follow
_NANO_PER_UNIT = NANO // UNITS_PER_KWH


class Witness:
    """Turns the energies of a fleet into what its devices send, and records both."""

    def __init__(
        self,
        *,
        world: World,
        fleet: Fleet,
        meter_ids: list[str],
        vehicle_ids: list[str],
        start_us: int,
        end_us: int,
        interval_us: int,
        quirks: Pairs | None = None,
    ) -> None:
        self.quirks = quirks
        """The pairs with quirks, which are no part of the fleet; None without any."""
        self._world = world
        self._fleet = fleet
        self._ids = (meter_ids, vehicle_ids)
        # A reading at the very start is about the interval before it.
        self._start_us = start_us - interval_us
        self._end_us = end_us
        self._interval_us = interval_us
        self._counters = Counters(world.meters), Counters(world.vehicles)
        self._accounts = Account(world.meters), Account(world.vehicles)
        self._shares = Shares(), Shares()
        self._owners: deque[tuple[Integers, Integers]] = deque()
        """Whose the energy of each meter and of each vehicle was in this tick, and before."""
        self._hours: dict[int, Figures] = {}
        self._withheld: list[Withheld] = []
        self._sessions: list[Bond] = []
        self._charging_since: Integers = np.full(len(vehicle_ids), NEVER)
        self._jumped_at: dict[int, int] = {}

    def read(self, lived: Tick) -> Tick:
        """Return a tick as its devices send it: registers send their counters."""
        tick, (meters, vehicles) = self._fleet.tick, self._counters
        return replace(
            lived,
            kwh_consumed_ac=meters.read(tick, _units(lived.kwh_consumed_ac)),
            kwh_delivered_dc=vehicles.read(tick, _units(lived.kwh_delivered_dc)),
        )

    def take(self, lived: Tick, withheld: list[tuple[int, Fault]]) -> None:
        """Record the same tick.

        `withheld` are rows of the tick's records: 2 * pair for a meter, 2 * pair + 1 for a vehicle.
        """
        in_time = lived.recorded_at < self._end_us
        sent = in_time.copy(), in_time.copy()
        for row, fault in withheld:
            pair, side = divmod(row, 2)
            sent[side][pair] = False
            at = int(lived.recorded_at[pair])
            self._withheld.append(
                Withheld(device_id=self._ids[side][pair], recorded_at=at, fault=fault)
            )
        self._note_sessions(lived.recorded_at)
        energies = _units(lived.kwh_consumed_ac), _units(lived.kwh_delivered_dc)
        tick = self._fleet.tick
        ticks = [account.ticks(tick) for account in self._accounts]
        told, (jumped, _) = zip(
            *(
                account.take(tick, counters, energy, side)
                for account, counters, energy, side in zip(
                    self._accounts, self._counters, energies, sent, strict=True
                )
            ),
            strict=True,
        )
        for pair in np.flatnonzero(jumped).tolist():
            self._jumped_at[pair] = int(lived.recorded_at[pair])
        self._note_owners(max(int(some.max(initial=1)) for some in ticks))
        charging = self._charging()
        for side in (_METER, _VEHICLE):
            shares = self._shares[side].take(
                told[side] * _NANO_PER_UNIT, ticks[side], charging[side]
            )
            for back, energy in enumerate(shares):
                self._add(_TOLD + side, energy, back=back)
            self._add(_LIVED + side, energies[side] * in_time * _NANO_PER_UNIT, back=0)
            self._count(_READINGS + side, sent[side])

    def _note_owners(self, ticks: int) -> None:
        self._owners.appendleft((self._owner(), np.arange(len(self._ids[_VEHICLE]))))
        while len(self._owners) > ticks:
            self._owners.pop()

    def _add(self, row: int, energy: Integers, *, back: int) -> None:
        """Add energies of the interval so many ticks ago to a figure of their vehicles."""
        owner = self._owners[back][row % 2]
        used = (energy != 0) & (owner != NO_VEHICLE)
        ends = self._fleet.read_at(self._fleet.tick - back)[used]
        for hour, share in by_hour(energy[used], ends, self._interval_us):
            np.add.at(self._figures(hour)[row], owner[used], share)

    def _count(self, row: int, sent: npt.NDArray[np.bool_]) -> None:
        """Count the readings that were sent of each vehicle."""
        owner = self._owners[0][row % 2]
        hours = (self._fleet.read_at(self._fleet.tick) - 1) // HOUR_US * HOUR_US
        counted = sent & (owner != NO_VEHICLE)
        for hour in np.unique(hours[counted]).tolist():
            np.add.at(self._figures(hour)[row], owner[counted & (hours == hour)], 1)

    def _figures(self, hour: int) -> Figures:
        if hour not in self._hours:
            self._hours[hour] = np.zeros((len(FIGURES), len(self._ids[1])), dtype=np.int64)
        return self._hours[hour]

    def devices(self) -> tuple[Device, ...]:
        """Return all meters, then all vehicles, in the order of their phase."""
        world, fleet = self._world, self._fleet
        traits, first_at = fleet.traits, fleet.read_at(0).tolist()
        charger = world.charger.tolist()
        unknown = (world.tie == Tie.UNASSIGNED).tolist()
        meters = (
            Device(
                stream="meter",
                device_id=name,
                reading_kind=_kind(world.meters, pair),
                register_modulus_kwh=int(world.meters.modulus[pair]) / UNITS_PER_KWH or None,
                capacity_kw=float(traits.charger_kw[pair]),
                battery_capacity_kwh=None,
                first_at=first_at[pair],
                planted=_condition(world, pair),
                jumped_at=self._jumped_at.get(pair),
            )
            for pair, name in enumerate(self._ids[0])
        )
        vehicles = (
            Device(
                stream="vehicle",
                device_id=name,
                reading_kind=_kind(world.vehicles, pair),
                register_modulus_kwh=None,
                capacity_kw=None,
                battery_capacity_kwh=float(traits.capacity_kwh[pair]),
                first_at=first_at[pair],
                planted=None if unknown[pair] else _condition(world, charger[pair]),
                jumped_at=None,
            )
            for pair, name in enumerate(self._ids[1])
        )
        return (*meters, *vehicles)

    def assignments(self) -> tuple[Bond, ...]:
        """Return the assignments, each vehicle's in the order of time."""
        world, (meter_ids, vehicle_ids) = self._world, self._ids
        made = []
        for pair in np.flatnonzero(~np.isin(world.tie, (Tie.GUEST, Tie.UNASSIGNED))).tolist():
            tick = int(world.moves_after[pair])
            moves_at = None if tick == NEVER else int(self._fleet.read_at(tick)[pair])
            first = Bond(
                kind="assignment",
                vehicle_id=vehicle_ids[pair],
                meter_id=meter_ids[int(world.charger[pair])],
                start=self._start_us,
                end=moves_at,
            )
            made.append(first)
            if moves_at is not None:
                later = meter_ids[int(world.later_charger[pair])]
                made.append(replace(first, meter_id=later, start=moves_at, end=None))
        return tuple(made)

    def truth(self) -> Truth:
        """Return the truth so far; a session that is still running ends with the last reading."""
        running = np.flatnonzero(self._charging_since != NEVER)
        self._end_sessions(running, self._fleet.read_at(self._fleet.tick))
        return Truth(
            start_us=self._start_us,
            end_us=self._end_us,
            interval_us=self._interval_us,
            devices=self.devices(),
            bonds=(*self.assignments(), *self._sessions),
            withheld=tuple(self._withheld),
            hours=self._hours,
            quirks=self.quirks,
        )

    def keep(self, directory: Path) -> dict[str, object]:
        """Write the truth beside a ledger, and return its entry in `ledger.json`."""
        rollovers = sum(counters.rollovers for counters in self._counters)
        return {"truth": write_truth(directory, self.truth()) | {"rollovers": rollovers}}

    def _owner(self) -> Integers:
        """Return the vehicle that each meter's energy of this tick belongs to, or NO_VEHICLE."""
        owner = self._world.assigned_at(self._fleet.tick)
        charging = np.flatnonzero(self._in_session)
        owner[self._fleet.charger[charging]] = charging
        return owner

    def _charging(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return on which meters a session runs, and which vehicles are in one."""
        in_session = self._in_session
        on_meter = np.zeros_like(in_session)
        on_meter[self._fleet.charger[in_session]] = True
        return on_meter, in_session

    @property
    def _in_session(self) -> npt.NDArray[np.bool_]:
        """Return for each vehicle whether it is in a session: it charges, at a shared charger."""
        charging: npt.NDArray[np.bool_] = self._fleet.mode == Mode.CHARGING
        return charging & self._world.takes_turns

    def _note_sessions(self, read_at: Integers) -> None:
        began_at = read_at - self._interval_us
        before = self._charging_since != NEVER
        self._end_sessions(np.flatnonzero(before & ~self._in_session), began_at)
        began = self._in_session & ~before
        self._charging_since[began] = began_at[began]

    def _end_sessions(self, vehicles: npt.NDArray[np.intp], at: Integers) -> None:
        for pair in vehicles.tolist():
            start, end = int(self._charging_since[pair]), min(int(at[pair]), self._end_us)
            self._charging_since[pair] = NEVER
            if start < end:
                self._sessions.append(
                    Bond(
                        kind="session",
                        vehicle_id=self._ids[1][pair],
                        meter_id=self._ids[0][int(self._world.charger[pair])],
                        start=start,
                        end=end,
                    )
                )


def _units(kwh: Floats) -> Integers:
    return np.rint(kwh * UNITS_PER_KWH).astype(np.int64)


def _kind(counting: Counting, pair: int) -> str:
    return "register" if counting.is_register[pair] else "interval"


def _condition(world: World, pair: int) -> str:
    return Condition(int(world.condition[pair])).name.lower()
