"""Devices whose readings are a counter: a reading is worth what the counter gained.

The *baseline* is the counter's last good value. `Register.read` is the definition, one reading
after the other. `worth` gives the same answer, and takes in a few numpy operations all readings
that only rise, and by no more than is possible.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from energy.device import Facts, most_possible
from energy.readings import Readings
from energy.units import HOUR_US, NANO, Ints, Mask
from energy.worth import Doubt, Worth

JITTER = NANO // 10
# For how long after a reading others tell what it was.
SETTLED_AFTER_US = HOUR_US
# A counter that has begun at zero again stands below this share of its baseline.
RESET_BELOW_PERCENT = 95


@dataclass(slots=True)
class Register:
    """A counter's readings, and what is known of it after some of them.

    `at`, `value` and `facts` (n) are the readings and what the device was at each; `as_of` is now,
    or when the device was read last if that is later.
    Times are microseconds since 1970, values nanokilowatt-hours. `baseline` was first read at
    `baseline_at`. `lower_at` is when less was read last, None if that is not known; `good_at` is
    when the baseline was read last, or a value within the jitter below it.
    """

    at: Sequence[int]
    value: Sequence[int]
    facts: Sequence[Facts]
    as_of: int
    has_begun: bool = False
    baseline: int = 0
    baseline_at: int = 0
    lower_at: int | None = None
    good_at: int = 0
    is_open: bool = False
    # A dip lasts until this place, at which the counter has returned.
    returned: int = 0

    def read(self, place: int) -> tuple[int, Doubt]:
        """Take the next reading; return its energy, and what is doubtful about it."""
        if self.is_open or place < self.returned:
            return 0, Doubt.UNSETTLED if self.is_open else Doubt.NONE
        if not self.has_begun:
            return self._begin_anew(place)
        gained = self.value[place] - self.baseline
        if gained < -JITTER:
            return self._fall(place)
        if gained < 0:
            self.lower_at = self.good_at = self.at[place]
            return 0, Doubt.NONE
        if not self._may_gain(place, gained):
            return self._jump(place)
        if gained > 0:
            self.baseline, self.baseline_at = self.value[place], self.at[place]
            self.lower_at = self.good_at
        self.good_at = self.at[place]
        return gained, Doubt.NONE

    def _jump(self, place: int) -> tuple[int, Doubt]:
        """Take a rise of more than is possible."""
        for later in self._soon_after(place):
            gained = self.value[later] - self.baseline
            if gained >= -JITTER and self._may_gain(later, gained):
                return 0, Doubt.NONE  # a spike
        return self._unless_open(place, 0, Doubt.IMPLAUSIBLE_JUMP)

    def _fall(self, place: int) -> tuple[int, Doubt]:
        """Take a fall: a rollover, a reset, a dip or a step down, in this order."""
        modulus = self.facts[place].modulus
        if modulus is not None:
            gained = self.value[place] + modulus - self.baseline
            if gained >= 0 and self._may_gain(place, gained):
                return self._begin_anew(place, gained)
        returned = next(
            (
                later
                for later in self._soon_after(place)
                if self.value[later] >= self.baseline - JITTER
            ),
            None,
        )
        if self._may_be_reset(place):
            if returned is None:
                return self._unless_open(place, self.value[place], Doubt.NONE)
            if self._rises_from_zero(place, returned):
                return self._begin_anew(place, self.value[place])
        if returned is not None:
            self.returned = returned
            return 0, Doubt.NONE  # a dip
        return self._unless_open(place, 0, Doubt.REGISTER_FELL)

    def _unless_open(self, place: int, energy: int, doubt: Doubt) -> tuple[int, Doubt]:
        """Take what is true only if nothing else is read within the hour."""
        if self.as_of < self.at[place] + SETTLED_AFTER_US:
            self.is_open = True
            return 0, Doubt.UNSETTLED
        return self._begin_anew(place, energy, doubt)

    def _begin_anew(
        self, place: int, energy: int = 0, doubt: Doubt = Doubt.NONE
    ) -> tuple[int, Doubt]:
        self.has_begun, self.baseline, self.lower_at = True, self.value[place], None
        self.baseline_at = self.good_at = self.at[place]
        return energy, doubt

    def _may_gain(self, place: int, gained: int) -> bool:
        """Return whether that can have been gained since less than the baseline was read."""
        facts = self.facts[place]
        if self.lower_at is None:
            gained -= facts.step
        since = self.baseline_at if self.lower_at is None else self.lower_at
        return gained <= most_possible(facts.power, self.at[place] - since)

    def _may_be_reset(self, place: int) -> bool:
        """Return whether the value can have been counted from zero since the reading before."""
        is_far_below = 100 * self.value[place] < RESET_BELOW_PERCENT * self.baseline
        since = self.at[place] - self.at[place - 1]
        return is_far_below and self.value[place] <= most_possible(self.facts[place].power, since)

    def _rises_from_zero(self, low: int, returned: int) -> bool:
        """Return whether the counter can have come back to its baseline from its low values."""
        last = self.value[returned - 1]
        lower = next(
            (place for place in range(returned - 2, low - 1, -1) if self.value[place] < last), None
        )
        facts = self.facts[returned]
        gained = self.value[returned] - last - (facts.step if lower is None else 0)
        since = self.at[low if lower is None else lower]
        return gained <= most_possible(facts.power, self.at[returned] - since)

    def _soon_after(self, place: int) -> range:
        """Return the places of the readings within the hour after one."""
        end = bisect_right(self.at, self.at[place] + SETTLED_AFTER_US)
        return range(place + 1, end)


def worth(readings: Readings, as_of: Ints) -> Worth:
    """Return what readings of registers are worth; the first of each is worth nothing.

    So is the first after the device became a register; each of an interval device stands for
    itself, as if it were such a first one. `as_of` (one a device) is now, on the line.
    """
    is_register = readings.is_register()
    begins = readings.is_first() | ~is_register
    begins[1:] |= ~is_register[:-1]
    starts = _run_starts(readings.value, begins)
    is_sure = _surely_rises(readings, starts, begins)
    energy = np.diff(readings.value, prepend=0)
    energy[begins] = 0
    doubts = np.zeros_like(energy)
    since = np.concatenate((readings.at[:1], readings.at[:-1]))
    since[begins] = readings.at[begins]
    doubtful = np.flatnonzero(~is_sure & ~begins)
    counter = np.cumsum(begins)
    counters = counter[doubtful]
    for one in np.unique(counters).tolist():
        begin, end = np.searchsorted(counter, (one, one + 1)).tolist()
        own, device = slice(begin, end), readings.device[begin]
        last = readings.at[np.searchsorted(readings.device, device, side="right") - 1]
        _read_one_by_one(
            readings.take(own),
            starts[own] - begin,
            doubtful[counters == one] - begin,
            int(max(as_of[device], last)),
            (energy[own], doubts[own]),
        )
    return Worth(readings.at, since, energy, doubts)


def _read_one_by_one(
    readings: Readings, starts: Ints, doubtful: Ints, as_of: int, into: tuple[Ints, Ints]
) -> None:
    """Read a counter's doubtful readings, and those after them until all is known again.

    Their energy and doubts are written `into` the columns.
    """
    held = [readings.facts[place] for place in readings.held.tolist()]
    register = Register(readings.at.tolist(), readings.value.tolist(), held, as_of)
    place = int(doubtful[0])
    while place < len(readings):
        start = int(starts[place - 1])
        register.has_begun, register.baseline = True, register.value[place - 1]
        register.baseline_at = register.at[start]
        register.lower_at = register.at[start - 1] if start else None
        register.good_at = register.at[place - 1]
        place = _read_until_known(register, place, into)
        following = int(np.searchsorted(doubtful, place))
        place = int(doubtful[following]) if following < len(doubtful) else len(readings)


def _read_until_known(register: Register, place: int, into: tuple[Ints, Ints]) -> int:
    """Read from a place on; return the first place for which nothing doubtful matters any more.

    That is so once the last two readings were good and the last one rose.
    """
    energy, doubts = into
    while place < len(register.at):
        was_good = register.good_at == register.at[place - 1]
        energy[place], doubts[place] = register.read(place)
        place += 1
        rose = register.baseline_at == register.at[place - 1] and register.lower_at is not None
        if was_good and rose and register.value[place - 2] < register.value[place - 1]:
            break
    return place


def _run_starts(value: Ints, begins: Mask) -> Ints:
    """Return for each reading (n) the place of the first of those that show the same in a row."""
    starts = np.arange(len(value))
    starts[1:][(value[1:] == value[:-1]) & ~begins[1:]] = 0
    return np.maximum.accumulate(starts)


def _surely_rises(
    readings: Readings, starts: Ints, begins: Mask, *, not_before: Ints | None = None
) -> Mask:
    """Return for each reading (n) whether it stays or rises as is possible.

    It is compared with the reading before, as if that were the baseline; the first of a device is
    compared with nothing, and not sure. Products of doubles are not exact, so what is within a
    billionth of the bound is not sure either.
    """
    sure = np.zeros(len(readings), np.bool_)
    power = np.array([one.power for one in readings.facts], np.float64)[readings.held[1:]]
    run = starts[:-1]
    lower = np.where(begins[run], run, run - 1)
    if not_before is not None:
        lower = np.maximum(lower, not_before[:-1])
    gained = np.diff(readings.value)
    most = power * (readings.at[1:] - readings.at[lower]) * (1 - 1e-9)
    sure[1:] = (gained >= 0) & (gained * 36e6 <= most) & ~begins[1:]
    return sure


def first_known(readings: Readings) -> int | None:
    """Return the first place at which nothing before a device's readings matters, or None.

    That is so once the register has risen for more than an hour, by more than the jitter and never
    by more than is possible: whatever was before, its baseline and when less was read are then
    those of this run.
    """
    begins = readings.is_first()
    starts = _run_starts(readings.value, begins)
    sure = _surely_rises(readings, starts, begins)
    while True:
        run = np.arange(len(readings))
        run[sure] = 0
        run = np.maximum.accumulate(run)
        # What was before a run does not tell what is possible in it.
        again = sure & _surely_rises(readings, starts, begins, not_before=run)
        if np.array_equal(again, sure):
            break
        sure = again
    is_long = readings.at - readings.at[run] > SETTLED_AFTER_US
    known = np.flatnonzero(is_long & (readings.value - readings.value[run] > JITTER))
    return int(known[0]) if len(known) else None
