"""What each reading of one device is worth: the slow reference, one reading after the other."""

from dataclasses import dataclass
from fractions import Fraction

from tests.energy.slow_world import EVER, KWH, MINUTE, Device, Facts, Reading

JITTER = KWH // 10
LOOK_AHEAD = 60 * MINUTE


@dataclass(frozen=True)
class Worth:
    """A reading's energy, and the time (start, at] that it was counted in."""

    at: int
    start: int
    energy: int = 0
    reason: str | None = None
    overlaps: bool = False
    register: bool = False
    long: bool = False  # a register's gap of more than is known in any span


@dataclass
class Baseline:
    """A register's last good value, and what it showed since it began."""

    value: int
    since: int
    shown: list[Reading]

    def bound(self, facts: Facts, at: int) -> Fraction:
        """Return the highest rise until `at` that is possible."""
        for reading in reversed(self.shown):
            if reading.value < self.value:
                return facts.possible(at - reading.at)
        return facts.possible(at - self.since) + facts.step

    def allows(self, facts: Facts, reading: Reading, value: int) -> bool:
        """Return whether the register can stand at `value` when `reading` was read."""
        return value - self.value <= self.bound(facts, reading.at)


def worths(device: Device, as_of: int = EVER) -> list[Worth]:
    """Return what each reading is worth, in the order of time."""
    return _Judge(device, as_of).judge()


class _Judge:
    def __init__(self, device: Device, as_of: int) -> None:
        self.readings = sorted(device.readings, key=lambda reading: reading.at)
        self.facts = [device.facts_at(reading.at) for reading in self.readings]
        last = self.readings[-1].at if self.readings else as_of
        self.now = max(as_of, last)
        self.baseline: Baseline | None = None
        self.worths: list[Worth] = []

    def judge(self) -> list[Worth]:
        while len(self.worths) < len(self.readings):
            i = len(self.worths)
            if self.facts[i].register:
                self._register(i)
            else:
                self.baseline = None
                self._interval(i)
            if self.worths[i].reason == "unsettled":
                for later in self._following(i):
                    self._add(later, reason="unsettled")
        return self.worths

    def _add(self, i: int, energy: int = 0, reason: str | None = None) -> None:
        at, facts = self.readings[i].at, self.facts[i]
        before = self.readings[i - 1].at if i else None
        if facts.register:
            start = at if before is None or not self.facts[i - 1].register else before
        else:
            start = at - facts.interval if before is None else max(before, at - facts.interval)
        known = max(5 * MINUTE, 2 * facts.interval)
        self.worths.append(
            Worth(
                at,
                start,
                energy,
                reason,
                overlaps=self._overlaps(i),
                register=facts.register,
                long=facts.register and at - start > known,
            )
        )

    def _overlaps(self, i: int) -> bool:
        """Return whether more than half of the reading's interval lies before the one before."""
        if i == 0 or self.facts[i].register:
            return False
        claimed = self.readings[i].at - self.facts[i].interval
        return 2 * (self.readings[i - 1].at - claimed) > self.facts[i].interval

    def _interval(self, i: int) -> None:
        value, facts = self.readings[i].value, self.facts[i]
        if value > facts.possible(facts.interval):
            self._add(i, reason="implausible_reading")
        else:
            self._add(i, value)

    def _begin(self, i: int, energy: int = 0, reason: str | None = None) -> None:
        reading = self.readings[i]
        self.baseline = Baseline(reading.value, reading.at, [reading])
        self._add(i, energy, reason)

    def _register(self, i: int) -> None:
        baseline, reading = self.baseline, self.readings[i]
        if baseline is None:
            self._begin(i)
        elif reading.value >= baseline.value:
            self._rise(i, baseline)
        elif baseline.value - reading.value <= JITTER:
            baseline.shown.append(reading)
            self._add(i)
        else:
            self._fall(i, baseline)

    def _rise(self, i: int, baseline: Baseline) -> None:
        reading = self.readings[i]
        if baseline.allows(self.facts[i], reading, reading.value):
            energy = reading.value - baseline.value
            baseline.value = reading.value
            baseline.shown.append(reading)
            self._add(i, energy)
        elif any(
            self.readings[k].value >= baseline.value - JITTER
            and baseline.allows(self.facts[k], self.readings[k], self.readings[k].value)
            for k in self._following(i)
        ):
            self._add(i)  # a spike
        elif self._open(i):
            self._add(i, reason="unsettled")
        else:
            self._begin(i, reason="implausible_jump")

    def _fall(self, i: int, baseline: Baseline) -> None:
        reading, facts = self.readings[i], self.facts[i]
        if facts.modulus is not None:
            turned = reading.value + facts.modulus
            if turned >= baseline.value and baseline.allows(facts, reading, turned):
                self._begin(i, turned - baseline.value)
                return
        back = next(
            (k for k in self._following(i) if self.readings[k].value >= baseline.value - JITTER),
            None,
        )
        from_zero = (
            reading.value <= facts.possible(reading.at - self.readings[i - 1].at)
            and reading.value * 100 < baseline.value * 95
        )
        if back is None and self._open(i):
            self._add(i, reason="unsettled")
        elif from_zero and (back is None or self._could_return(i, back)):
            self._begin(i, reading.value)
        elif back is not None:
            for low in range(i, back):
                self._add(low)
        else:
            self._begin(i, reason="register_fell")

    def _could_return(self, fallen: int, back: int) -> bool:
        """Return whether the low values, from the fallen one on, could rise to `back`."""
        last, reading, facts = self.readings[back - 1], self.readings[back], self.facts[back]
        since = Baseline(last.value, self.readings[fallen].at, self.readings[fallen:back])
        return since.allows(facts, reading, reading.value)

    def _following(self, i: int) -> list[int]:
        """Return the register's readings of the 60 minutes after this one."""
        following = []
        for k in range(i + 1, len(self.readings)):
            if not self.facts[k].register or self.readings[k].at > self.readings[i].at + LOOK_AHEAD:
                break
            following.append(k)
        return following

    def _open(self, i: int) -> bool:
        return self.now < self.readings[i].at + LOOK_AHEAD
