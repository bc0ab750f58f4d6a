"""A fleet's world: which devices are registers, who charges where, which chargers are bad. Pure.

It is drawn from the seed before the run. Pairs are those of `fleet`, in the order of their phase;
two neighbours may form a block, and are then read at the same instant. A tick is one interval,
numbered from 0: tick k ends with reading k of every device.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from producer_sim.devices.records import Floats, Integers

UNITS_PER_KWH = 10_000
"""Energies are counted in whole units of 0.0001 kWh, the precision that is sent."""
NEVER = np.iinfo(np.int64).max
NO_VEHICLE = -1
SHORTEST_INTERVAL_S = 10.0
"""In shorter intervals, rounding to a unit may look like more power than a meter's rating."""

_BLOCK_SHARES = {"sharing": 0.05, "host": 0.05, "moving": 0.05}
_UNASSIGNED_SHARE = 0.03
_FAULT_SHARES = (0.08, 0.04)
_ROLLS, _RESTARTS, _SWAPPED = 0.3, 0.2, 0.1
_MODULI_KWH = (1_000, 10_000, 100_000)
_CHANGES_FROM, _CHANGES_TO = 0.3, 0.7


class Condition(IntEnum):
    """The condition of a charger, which its vehicle's efficiency shows."""

    SOUND = 0
    DEGRADED = 1
    CRITICAL = 2


_EFFICIENCIES = np.array([(0.90, 0.95), (0.79, 0.82), (0.62, 0.70)])
"""Ranges by condition; far enough from the bands' edges that standby does not cross them."""


class Tie(IntEnum):
    """How the vehicle of a pair is assigned to a meter."""

    ALONE = 0  # to its own meter, for the whole run
    SHARING = 1  # both of the block to the first one's meter; sessions decide whose energy it is
    HOST = 2  # to its own meter, at which the block's other vehicle charges too …
    GUEST = 3  # … in sessions only
    MOVING = 4  # to its own meter at first, then to that of the block's other vehicle
    UNASSIGNED = 5  # to no meter


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """How n devices of one stream count; every shape is (n,), energies are in units.

    `restarts_after`: the tick after which the counter goes on from `restarts_at`, NEVER for most.
    `restarts_at` 0 is a reset, more is a used meter in its place. `modulus` 0: it never rolls over.
    """

    is_register: npt.NDArray[np.bool_]
    starts_at: Integers
    modulus: Integers
    restarts_after: Integers
    restarts_at: Integers

    @classmethod
    def drawn(
        cls,
        rng: np.random.Generator,
        size: int,
        *,
        share: float,
        ticks: int,
        calm: int,
        rated: bool,
    ) -> "Counting":
        """Draw the registers. `rated`: they have a capacity, and so may roll over or be replaced.

        Without a capacity, a rollover or a replacement cannot be told from a reset. None restarts
        in the last `calm` ticks, so that it is known in the end what happened.
        """
        registers = rng.permutation(size)[: round(share * size)]
        count = len(registers)
        rolls = min(count, max(1, round(_ROLLS * count))) if rated else 0
        resets = min(count - rolls, max(1, round(_RESTARTS * count)))
        swapped = min(count - rolls - resets, max(1, round(_SWAPPED * count))) if rated else 0
        rolling, restarting, replaced, _ = np.split(registers, np.cumsum((rolls, resets, swapped)))
        is_register = np.zeros(size, dtype=bool)
        is_register[registers] = True
        starts_at = rng.integers(10_000, 90_000, size) * UNITS_PER_KWH
        modulus = np.zeros(size, dtype=np.int64)
        modulus[rolling] = rng.choice(_MODULI_KWH, rolls) * UNITS_PER_KWH
        # It rolls over after 0.05 to 3 kWh.
        starts_at[rolling] = modulus[rolling] - rng.integers(500, 3 * UNITS_PER_KWH, rolls)
        restarts_after = np.full(size, NEVER)
        changing = np.concatenate((restarting, replaced))
        restarts = _mid_run(rng, len(changing), ticks)
        restarts_after[changing] = np.where(restarts < ticks - calm, restarts, NEVER)
        restarts_at = np.zeros(size, dtype=np.int64)
        restarts_at[replaced] = rng.integers(5_000, 9_000, swapped) * UNITS_PER_KWH
        return cls(
            is_register=is_register,
            starts_at=np.where(is_register, starts_at, 0),
            modulus=modulus,
            restarts_after=restarts_after,
            restarts_at=restarts_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The plan of n pairs; every shape is (n,).

    `charger` is the pair at whose meter the vehicle charges up to the tick `moves_after`,
    `later_charger` after it; `condition` and `efficiency` are those of the chargers.
    """

    tie: Integers
    charger: Integers
    later_charger: Integers
    moves_after: Integers
    condition: Integers
    efficiency: Floats
    meters: Counting
    vehicles: Counting

    @classmethod
    def drawn(cls, *, size: int, seed: int, ticks: int, registers: float, calm: int = 0) -> "World":
        """Draw a world of `ticks` intervals; `registers`: the share of the meters that are.

        No counter restarts in the last `calm` ticks.
        """
        rng = np.random.default_rng((seed, 3))
        tie, charger, blocks = _ties(rng, size)
        moving = tie == Tie.MOVING
        later_charger = charger.copy()
        # The two vehicles of a moving block change places at the same time.
        moves_after = np.full(size, NEVER)
        firsts = np.flatnonzero(moving)[0::2]
        later_charger[firsts], later_charger[firsts + 1] = firsts + 1, firsts
        moves_after[firsts] = moves_after[firsts + 1] = _mid_run(rng, len(firsts), ticks)
        condition = _conditions(rng, size, tie, blocks)
        return cls(
            tie=tie,
            charger=charger,
            later_charger=later_charger,
            moves_after=moves_after,
            condition=condition,
            efficiency=rng.uniform(*_EFFICIENCIES[condition].T),
            meters=Counting.drawn(rng, size, share=registers, ticks=ticks, calm=calm, rated=True),
            vehicles=Counting.drawn(
                rng, size, share=registers / 2, ticks=ticks, calm=calm, rated=False
            ),
        )

    def aligned(self, phases: Integers, *, edge: int) -> Integers:
        """Return the phases, with equal ones in a block, and with one pair's moved to the edge.

        The edge is that of an hour, so one pair is read exactly there: such a reading belongs to
        the hour that ends with it.
        """
        follows = np.flatnonzero(self._is_second)
        aligned = phases.copy()
        at = np.searchsorted(phases, edge)
        aligned[at : at + 2] = edge  # the second of the two may follow, and so may the first
        aligned[follows] = aligned[follows - 1]
        return aligned

    def charger_at(self, tick: int) -> Integers:
        """Return the pair at whose meter each vehicle charges in a tick."""
        return np.where(tick > self.moves_after, self.later_charger, self.charger)

    def assigned_at(self, tick: int) -> Integers:
        """Return whose each meter's energy is outside sessions: a vehicle or NO_VEHICLE."""
        owner = np.full(len(self.tie), NO_VEHICLE)
        sole = np.flatnonzero(~np.isin(self.tie, (Tie.SHARING, Tie.GUEST, Tie.UNASSIGNED)))
        owner[self.charger_at(tick)[sole]] = sole
        return owner

    @property
    def takes_turns(self) -> npt.NDArray[np.bool_]:
        """Return for each vehicle whether it shares its meter with another one."""
        return np.isin(self.tie, (Tie.SHARING, Tie.HOST, Tie.GUEST))

    @property
    def sharing_firsts(self) -> Integers:
        """The first of each block whose two vehicles take turns."""
        return np.flatnonzero(self.takes_turns & ~self._is_second)

    @property
    def _is_second(self) -> npt.NDArray[np.bool_]:
        second = np.zeros(len(self.tie), dtype=bool)
        for tie in (Tie.SHARING, Tie.MOVING):
            second[np.flatnonzero(self.tie == tie)[1::2]] = True
        second[self.tie == Tie.GUEST] = True
        return second


def _ties(rng: np.random.Generator, size: int) -> tuple[Integers, Integers, Integers]:
    """Return the ties, the chargers, and the first pair of each block.

    A large enough fleet has blocks of every kind.
    """
    tie = np.full(size, Tie.ALONE, dtype=np.int64)
    charger = np.arange(size)
    order = 2 * rng.permutation(size // 2)
    sizes = [
        max(1, round(share * len(order))) if len(order) > 2 * len(_BLOCK_SHARES) else 0
        for share in _BLOCK_SHARES.values()
    ]
    sharing, hosts, moving, rest = np.split(order, np.cumsum(sizes))
    tie[sharing], tie[sharing + 1] = Tie.SHARING, Tie.SHARING
    tie[hosts], tie[hosts + 1] = Tie.HOST, Tie.GUEST
    tie[moving], tie[moving + 1] = Tie.MOVING, Tie.MOVING
    visited = np.concatenate((sharing, hosts))
    charger[visited + 1] = visited
    if len(rest):
        tie[rest[: max(1, round(_UNASSIGNED_SHARE * size))]] = Tie.UNASSIGNED
    return tie, charger, np.concatenate((visited, moving))


def _conditions(rng: np.random.Generator, size: int, tie: Integers, blocks: Integers) -> Integers:
    """Plant the faults: both chargers of a block get the same, so that a vehicle sees only one."""
    planted = rng.random(size)
    degraded, critical = _FAULT_SHARES
    condition = np.select(
        [planted < critical, planted < critical + degraded],
        [Condition.CRITICAL, Condition.DEGRADED],
        Condition.SOUND,
    ).astype(np.int64)
    alone = rng.permutation(np.flatnonzero(tie == Tie.ALONE))
    if len(alone) > len(Condition):
        condition[alone[0]], condition[alone[1]] = Condition.DEGRADED, Condition.CRITICAL
    condition[blocks + 1] = condition[blocks]
    return condition


def _mid_run(rng: np.random.Generator, count: int, ticks: int) -> Integers:
    first = max(1, round(_CHANGES_FROM * ticks))
    return rng.integers(first, max(first + 1, round(_CHANGES_TO * ticks)), count)
