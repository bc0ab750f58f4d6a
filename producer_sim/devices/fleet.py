"""The physics of n vehicles and their chargers, one whole interval at a time. Pure.

Vehicle i charges at meter i only, unless a world says otherwise. Both are read at the same instant,
each pair at its own phase of the interval. Over every interval, before rounding:

    battery energy gained  = kwhDeliveredDc
    kwhConsumedAc          = kwhDeliveredDc / efficiency of the charger + standby * time
    change of SoC          = 100 * (kwhDeliveredDc - driven energy) / capacity

Energies are rounded with carry: what one reading loses to rounding is added to the next.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from producer_sim.devices.records import Floats, Integers
from producer_sim.devices.world import World
from telemetry.timestamps import DAY_US, SECOND_US

MILLISECOND_US = 1_000
HOUR_US = 3_600 * SECOND_US

ENERGY_DECIMALS = 4
VOLTAGE_DECIMALS = 1
SOC_DECIMALS = 2
TEMPERATURE_DECIMALS = 1

TAPER_FROM = 80.0
"""Per cent of SoC from which the power falls in a straight line …"""
TAPER_TO = 0.1
"""… down to this share of it at 100 %."""
RESERVE = 8.0
"""Per cent of SoC at which a vehicle stops driving and charges."""

_CAPACITIES_KWH = (40.0, 52.0, 58.0, 64.0, 77.0, 82.0, 95.0)
_CHARGERS_KW = (3.7, 7.4, 11.0, 22.0)
_CHARGER_SHARES = (0.10, 0.30, 0.45, 0.15)
_EFFICIENCIES = np.array([(0.88, 0.95), (0.76, 0.84), (0.64, 0.74)])
"""Ranges of the chargers' AC→DC efficiency: sound, worn and broken ones."""
_EFFICIENCY_SHARES = (0.85, 0.12, 0.03)
_TARGETS = (80.0, 90.0, 100.0)
"""Per cent of SoC at which charging ends."""
_TARGET_SHARES = (0.4, 0.3, 0.3)

_WARMS_PER_KW = 0.7  # kelvin above the air, once settled
_SETTLES_IN_HOURS = 0.75
_VOLTS_PER_KW = 0.15


class Mode(IntEnum):
    """What a vehicle does over a whole interval."""

    DRIVING = 0
    PARKED = 1
    CHARGING = 2
    PLUGGED_IN = 3


_NEVER = 1e6
_DWELL_HOURS = np.array([(0.2, 1.2), (0.3, 7.0), (_NEVER, _NEVER), (0.2, 6.0)])
"""Ranges of how long a mode lasts; charging lasts until its target instead."""
_START_SHARES = (0.2, 0.3, 0.3, 0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """The constants of n pairs of a vehicle and its charger; every shape is (n,)."""

    capacity_kwh: Floats
    charger_kw: Floats
    """Power from the mains while charging below 80 %."""
    efficiency: Floats
    standby_kw: Floats
    driving_kw: Floats
    target_soc: Floats

    @classmethod
    def drawn(cls, rng: np.random.Generator, size: int) -> "Traits":
        condition = rng.choice(len(_EFFICIENCIES), size, p=_EFFICIENCY_SHARES)
        lowest, highest = _EFFICIENCIES[condition].T
        return cls(
            capacity_kwh=rng.choice(_CAPACITIES_KWH, size),
            charger_kw=rng.choice(_CHARGERS_KW, size, p=_CHARGER_SHARES),
            efficiency=rng.uniform(lowest, highest),
            standby_kw=rng.uniform(0.002, 0.008, size),
            driving_kw=rng.uniform(6.0, 18.0, size),
            target_soc=rng.choice(_TARGETS, size, p=_TARGET_SHARES),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One reading of every pair, in the order of time; every shape is (n,).

    Times are in microseconds since 1970, whole milliseconds; kWh over the interval that ends then,
    volts, per cent, degrees Celsius, all rounded as they are sent.
    """

    recorded_at: Integers
    kwh_consumed_ac: Floats
    voltage: Floats
    soc: Floats
    kwh_delivered_dc: Floats
    battery_temp: Floats


class Fleet:
    """n pairs, in the order of their phase; `numbers` are the numbers in their names."""

    def __init__(
        self,
        *,
        size: int,
        seed: int,
        start_us: int,
        interval_us: int,
        world: World | None = None,
    ) -> None:
        self._world = world
        self._rng = rng = np.random.default_rng((seed, 1))
        self._hours = interval_us / HOUR_US
        self._interval_us = interval_us
        phases = np.sort(rng.integers(0, interval_us // MILLISECOND_US, size)) * MILLISECOND_US
        if world is not None:
            phases = world.aligned(phases, edge=-start_us % interval_us)
        self._read_at: Integers = start_us - interval_us + phases

        self.numbers: Integers = rng.permutation(size)
        self.traits = Traits.drawn(rng, size)
        if world is not None:
            self.traits = replace(self.traits, efficiency=world.efficiency)
        self.tick = -1
        """The number of the last simulated interval, from 0; -1 before the first."""
        self.charger: Integers = np.arange(size)
        """The pair at whose charger each vehicle charges, (n,)."""
        self.mode: npt.NDArray[np.int8] = rng.choice(len(Mode), size, p=_START_SHARES).astype(
            np.int8
        )
        self.soc: Floats = rng.uniform(15.0, 78.0, size)
        self.soc[self.mode == Mode.PLUGGED_IN] = self.traits.target_soc[
            self.mode == Mode.PLUGGED_IN
        ]
        self.driven_kwh: Floats = np.zeros(size)
        """Energy that driving has taken since the start, (n,)."""
        self._take_turns(np.arange(size))
        self._changes_at = self._read_at + self._dwell_us(self.mode) * rng.random(size)
        self._temperature = self._air(self._read_at) + rng.uniform(0.0, 6.0, size)
        self._ac_carry: Floats = np.zeros(size)
        self._dc_carry: Floats = np.zeros(size)

    def advance(self) -> Tick:
        """Simulate the next interval, and return every device's reading at its end."""
        self.tick += 1
        if self._world is not None:
            self.charger = self._world.charger_at(self.tick)
        self._change_modes()
        self._read_at = self._read_at + self._interval_us

        gained = self._charge()
        driven = self._drive()
        drawn = gained / self.traits.efficiency[self.charger]
        consumed: Floats = np.zeros(len(drawn))
        np.add.at(consumed, self.charger, drawn)
        consumed += self.traits.standby_kw * self._hours
        self.soc += 100.0 * (gained - driven) / self.traits.capacity_kwh
        self.driven_kwh += driven
        self._warm((gained + driven) / self._hours)

        noise = self._rng.normal(0.0, 0.4, len(self.soc))
        voltage = self._mains(self._read_at) - _VOLTS_PER_KW * consumed / self._hours + noise
        return Tick(
            recorded_at=self._read_at,
            kwh_consumed_ac=_rounded_with_carry(consumed, self._ac_carry),
            voltage=rounded(voltage, VOLTAGE_DECIMALS),
            soc=rounded(self.soc, SOC_DECIMALS),
            kwh_delivered_dc=_rounded_with_carry(gained, self._dc_carry),
            battery_temp=rounded(self._temperature, TEMPERATURE_DECIMALS),
        )

    def read_at(self, tick: int) -> Integers:
        """Return when each pair is read in a tick, past or future."""
        return self._read_at + (tick - self.tick) * self._interval_us

    def _change_modes(self) -> None:
        mode, soc = self.mode, self.soc
        full = (mode == Mode.CHARGING) & (soc >= self.traits.target_soc)
        empty = (mode == Mode.DRIVING) & (soc <= RESERVE)
        ended = np.flatnonzero((self._changes_at <= self._read_at) | full | empty)
        if not len(ended):
            return
        before = mode[ended]
        # The emptier the battery, the likelier the driver plugs in on arrival.
        plugs_in = self._rng.random(len(ended)) * 100.0 > soc[ended]
        arrived = np.where(plugs_in, Mode.CHARGING, Mode.PARKED)
        rested = np.where(soc[ended] > 2 * RESERVE, Mode.DRIVING, Mode.CHARGING)
        after = np.select(
            [before == Mode.DRIVING, before == Mode.CHARGING],
            [np.where(empty[ended], Mode.CHARGING, arrived), Mode.PLUGGED_IN],
            rested,
        ).astype(np.int8)
        mode[ended] = after
        self._take_turns(ended)
        self._changes_at[ended] = self._read_at[ended] + self._dwell_us(mode[ended])

    def _take_turns(self, arrived: npt.NDArray[np.intp]) -> None:
        """Park a vehicle that arrives at a taken charger, or the second of two at once."""
        if self._world is None:
            return
        firsts = self._world.sharing_firsts
        charging = self.mode == Mode.CHARGING
        contended = firsts[charging[firsts] & charging[firsts + 1]]
        second_comes = np.isin(contended + 1, arrived)
        self.mode[np.where(second_comes, contended + 1, contended)] = Mode.PARKED

    def _dwell_us(self, modes: npt.NDArray[np.int8]) -> Floats:
        shortest, longest = _DWELL_HOURS[modes].T
        drawn: Floats = self._rng.uniform(shortest, longest) * HOUR_US
        return drawn

    def _charge(self) -> Floats:
        """Return the DC energy of the interval in kWh: constant power, then the exact taper."""
        charging = np.flatnonzero(self.mode == Mode.CHARGING)
        traits, soc = self.traits, self.soc[charging]
        capacity, at = traits.capacity_kwh[charging], self.charger[charging]
        pace = 100.0 * traits.charger_kw[at] * traits.efficiency[at] / capacity
        steady = np.minimum(self._hours, np.maximum(TAPER_FROM - soc, 0.0) / pace)
        reached = soc + pace * steady
        # With x = 100 - SoC: dx/dt = -pace * (TAPER_TO + slope * x), which has a closed form.
        slope = (1.0 - TAPER_TO) / (100.0 - TAPER_FROM)
        offset = TAPER_TO / slope
        missing = (100.0 - reached + offset) * np.exp(-slope * pace * (self._hours - steady))
        reached = np.where(steady < self._hours, 100.0 - missing + offset, reached)
        reached = np.maximum(np.minimum(reached, traits.target_soc[charging]), soc)
        gained = np.zeros(len(self.soc))
        gained[charging] = (reached - soc) * capacity / 100.0
        return gained

    def _drive(self) -> Floats:
        """Return the energy in kWh that driving takes from the battery, down to the reserve."""
        left = np.maximum(self.soc - RESERVE, 0.0) * self.traits.capacity_kwh / 100.0
        wanted = self.traits.driving_kw * self._hours
        return np.where(self.mode == Mode.DRIVING, np.minimum(wanted, left), 0.0)

    def _warm(self, kilowatts: Floats) -> None:
        settled = self._air(self._read_at) + _WARMS_PER_KW * kilowatts
        rest = np.exp(-self._hours / _SETTLES_IN_HOURS)
        self._temperature = settled + (self._temperature - settled) * rest

    @staticmethod
    def _air(at: Integers) -> Floats:
        """Return the air's temperature in °C: coldest in mid-January and before dawn."""
        day = at / DAY_US
        yearly = np.cos(2 * np.pi * (day / 365.25 - 0.04))
        daily = np.cos(2 * np.pi * (day - 0.2))
        return np.asarray(12.0 - 9.0 * yearly - 4.0 * daily)

    @staticmethod
    def _mains(at: Integers) -> Floats:
        return np.asarray(231.0 + 1.5 * np.sin(4 * np.pi * at / DAY_US))


def rounded(values: Floats, decimals: int) -> Floats:
    """Round to the double that the decimal text stands for; never to -0."""
    scale = 10.0**decimals
    return np.rint(values * scale) / scale + 0.0


def _rounded_with_carry(energy: Floats, carry: Floats) -> Floats:
    """Return what is sent, and leave in `carry` what is not sent yet: at most half a step."""
    total = energy + carry
    sent = rounded(total, ENERGY_DECIMALS)
    carry[:] = total - sent
    return sent
