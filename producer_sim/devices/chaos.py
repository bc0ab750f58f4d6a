"""Faults on purpose, at given shares of the readings; a reading has at most one. Pure.

A seed repeats the faults. A duplicate or a conflict follows its original in the same partition;
null and foreign keys, which may change the partition, are never combined with either.
"""

import heapq
import math
from collections import Counter
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Self

import numpy as np

from producer_sim.devices.kinds import CONFLICT, DUPLICATE, LATE, REWRITTEN_DUPLICATE
from producer_sim.devices.malformed import MALFORMED
from producer_sim.devices.messages import canonical
from producer_sim.devices.records import NO_TIME, Record, Records
from producer_sim.devices.unusual import ABSENT, NULL, NULL_KEY, OTHER_KEY, REWRITINGS, energy_only
from telemetry.streams import STREAMS

LONGEST_DELAY = 30
"""In reading intervals: the longest time that a late reading or a copy is held back."""

_SAME_BYTES = 0.75  # of the duplicates; the others are the same reading in another form
_HALF = 0.5
_MIDDLE = 50.0


class Fault(StrEnum):
    """A fault of a reading."""

    DUPLICATES = "duplicates"  # it is sent again, in the same or another form
    LATE = "late"  # it is held back, and newer readings of its device overtake it
    GAPS = "gaps"  # it is not sent
    MALFORMED = "malformed"  # a value that is not a reading is sent in its place
    CONFLICTS = "conflicts"  # other values for the same device and time follow it
    UNUSUAL = "unusual"  # it is sent in an unusual but valid form


WITHHOLDING = frozenset({Fault.GAPS, Fault.MALFORMED})
"""The faults by which the reading is never sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """The share of all readings, 0 … 1, that gets each fault; ValueError for others."""

    duplicates: float = 0.0
    late: float = 0.0
    gaps: float = 0.0
    malformed: float = 0.0
    conflicts: float = 0.0
    unusual: float = 0.0

    def __post_init__(self) -> None:
        if min(self.by_fault) < 0 or sum(self.by_fault) > 1:
            raise ValueError("the shares of the faults must lie between 0 and 1, their sum too")

    @property
    def by_fault(self) -> list[float]:
        """The shares in the order of `Fault`."""
        return [getattr(self, fault) for fault in Fault]

    @classmethod
    def of(cls, chaos: float, **single: float | None) -> Self:
        """Split one share over all faults; a fault's own share, if given, replaces its part."""
        given = {name: share for name, share in single.items() if share is not None}
        split = {field.name: chaos * getattr(SPLIT, field.name) for field in fields(cls)}
        return cls(**(split | given))


SPLIT = Shares(duplicates=0.3, late=0.3, gaps=0.1, malformed=0.1, conflicts=0.05, unusual=0.15)


class Chaos:
    """Mixes faults into records that arrive in the order of time."""

    def __init__(self, *, shares: Shares, seed: int, interval_us: int) -> None:
        self._bounds = np.cumsum(shares.by_fault)
        self._rng = np.random.default_rng((seed, 2))
        self._interval_us = interval_us
        self._held: list[tuple[int, int, Record]] = []
        self._ever_held = 0
        self.counts: Counter[Fault] = Counter()
        self.withheld: list[tuple[int, Fault]] = []
        """The rows of the last mixed records that are not sent, and the fault of each."""

    def mix(self, records: Records) -> Records:
        """Return what is sent: some records changed, some removed, held ones that are now due."""
        self.withheld = []
        if self._bounds[-1] == 0.0 or not len(records):
            return records
        drawn = np.searchsorted(self._bounds, self._rng.random(len(records)), side="right")
        untouched = drawn == len(Fault)
        changed = []
        for index in np.flatnonzero(~untouched).tolist():
            fault = list(Fault)[drawn[index]]
            self.counts[fault] += 1
            if fault in WITHHOLDING:
                self.withheld.append((index, fault))
            sent = self._apply(fault, records.row(index))
            if sent is not None:
                changed.append(sent)
        changed += self._released(until=int(records.due[-1]))
        mixed = records.take(np.flatnonzero(untouched)) + Records.of(changed)
        # Stable: records due at the same instant keep their order, so a copy follows its original.
        return mixed.take(np.argsort(mixed.due, kind="stable"))

    def rest(self, due: int) -> Records:
        """Return the records still held back, all due at the given instant: the load has ended."""
        rows = [row._replace(due=due) for _, _, row in sorted(self._held, key=lambda h: h[:2])]
        self._held.clear()
        return Records.of(rows)

    def _apply(self, fault: Fault, record: Record) -> Record | None:
        """Return what is sent in the record's place now, if anything."""
        match fault:
            case Fault.DUPLICATES:
                self._hold(self._copy(record), self._delay(shortest=0.0))
            case Fault.LATE:
                self._hold(record._replace(kind=LATE), self._delay(shortest=1.0))
                return None
            case Fault.GAPS:
                return None
            case Fault.MALFORMED:
                way = MALFORMED[self._rng.integers(len(MALFORMED))]
                return record._replace(
                    value=way.spoil(record), recorded_at=NO_TIME, measures=(), kind=way.kind
                )
            case Fault.CONFLICTS:
                self._hold(self._contradiction(record), self._delay(shortest=0.0))
            case Fault.UNUSUAL:
                return self._rewritten(record)
        return record

    def _copy(self, record: Record) -> Record:
        if self._rng.random() < _SAME_BYTES:
            return record._replace(kind=DUPLICATE)
        way = REWRITINGS[self._rng.integers(len(REWRITINGS))]
        return record._replace(kind=REWRITTEN_DUPLICATE, value=way.rewrite(record))

    def _contradiction(self, record: Record) -> Record:
        told = [(n, measure) for n, measure in enumerate(record.measures) if measure is not None]
        changed, sent = told[self._rng.integers(len(told))]
        measures = list(record.measures)
        # Towards the middle of the range of SoC, so that it stays in range.
        away = _MIDDLE * 2 if sent < _MIDDLE else 0.0
        # Half of the differences are the smallest that a double allows.
        measures[changed] = (
            float(np.nextafter(sent, away))
            if self._rng.random() < _HALF
            else sent + math.copysign(1.5, away - _MIDDLE)
        )
        value = canonical(STREAMS[record.stream], record.device_id, measures, record.recorded_at)
        return record._replace(kind=CONFLICT, value=value, measures=tuple(measures))

    def _rewritten(self, record: Record) -> Record:
        kinds = [*(way.kind for way in REWRITINGS), NULL_KEY, OTHER_KEY, ABSENT, NULL]
        way = int(self._rng.integers(len(kinds)))
        if kinds[way] is NULL_KEY:
            return record._replace(kind=NULL_KEY, key=None)
        if kinds[way] is OTHER_KEY:
            return record._replace(kind=OTHER_KEY, key=f"gateway-{way}".encode())
        if kinds[way] in (ABSENT, NULL):
            return energy_only(record, kinds[way])
        return record._replace(kind=kinds[way], value=REWRITINGS[way].rewrite(record))

    def _delay(self, *, shortest: float) -> float:
        """Draw a delay in intervals: half of them near the shortest, half spread out."""
        if self._rng.random() < _HALF:
            return shortest + float(self._rng.random()) * shortest
        return float(self._rng.uniform(shortest, LONGEST_DELAY))

    def _hold(self, record: Record, intervals: float) -> None:
        held = record._replace(due=record.due + round(intervals * self._interval_us))
        self._ever_held += 1
        heapq.heappush(self._held, (held.due, self._ever_held, held))

    def _released(self, *, until: int) -> list[Record]:
        released = []
        while self._held and self._held[0][0] <= until:
            released.append(heapq.heappop(self._held)[2])
        return released
