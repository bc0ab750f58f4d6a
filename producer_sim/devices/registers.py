"""Counters of energy, with rollovers, resets and replaced meters. Pure."""

import numpy as np
import numpy.typing as npt

from producer_sim.devices.records import Floats, Integers
from producer_sim.devices.world import UNITS_PER_KWH, Counting


class Counters:
    """The counters of n devices of one stream; the registers among them send their counters.

    `total` is each device's energy since the start, whatever its register shows; `restarted_at` is
    the total at its restart, 0 before. Both are in units of 0.0001 kWh, (n,).
    """

    def __init__(self, counting: Counting) -> None:
        self._counting = counting
        self._offset = counting.starts_at.copy()
        self.total: Integers = np.zeros(len(self._offset), dtype=np.int64)
        self.restarted_at: Integers = np.zeros(len(self._offset), dtype=np.int64)

    def read(self, tick: int, energy: Integers) -> Floats:
        """Count a tick's energy, and return what each device sends, in kWh."""
        counting = self._counting
        restarting = counting.restarts_after == tick - 1
        self.restarted_at[restarting] = self.total[restarting]
        self._offset[restarting] = (counting.restarts_at - self.total)[restarting]
        self.total += energy
        shown = self._offset + self.total
        rolling = counting.modulus > 0
        shown[rolling] %= counting.modulus[rolling]
        # Dividing whole units gives the double that the decimal text stands for.
        return np.where(counting.is_register, shown, energy) / UNITS_PER_KWH

    @property
    def rollovers(self) -> int:
        """How often registers have rolled over."""
        rolling = self._counting.modulus > 0
        return int(((self._offset + self.total)[rolling] // self._counting.modulus[rolling]).sum())


class Account:
    """The energy that the sent readings account for, by the rules for intervals and registers."""

    def __init__(self, counting: Counting) -> None:
        self._counting = counting
        size = len(counting.is_register)
        self._told: Integers = np.zeros(size, dtype=np.int64)
        """Each device's total at its last sent reading …"""
        self._told_in: Integers = np.full(size, -1)
        """… and the tick of that reading; -1 before the first."""

    def ticks(self, tick: int) -> Integers:
        """Return how many of the last ticks a reading of this one accounts for."""
        since = self._counting.is_register & (self._told_in >= 0)
        return np.where(since, tick - self._told_in, 1)

    def take(
        self, tick: int, counters: Counters, energy: Integers, sent: npt.NDArray[np.bool_]
    ) -> tuple[Integers, npt.NDArray[np.bool_]]:
        """Return the energy of each reading of a tick, in units, and which fell for good.

        An interval reading accounts for its interval. A register reading accounts for the energy
        since the last sent reading; after a reset between the two, for the energy since the reset.
        The first reading of a register is a baseline, and the first of a replacement meter a step
        down: both account for nothing.
        """
        counting = self._counting
        is_first = self._told_in < 0
        restarted = (self._told_in <= counting.restarts_after) & (counting.restarts_after < tick)
        jumped = sent & counting.is_register & restarted & (counting.restarts_at > 0) & ~is_first
        risen = counters.total - np.where(restarted, counters.restarted_at, self._told)
        worth = np.where(counting.is_register, np.where(is_first | jumped, 0, risen), energy)
        self._told[sent] = counters.total[sent]
        self._told_in[sent] = tick
        return np.where(sent, worth, 0), jumped
