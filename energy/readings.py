"""The stored readings of some devices, by column."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from energy.device import Device, Facts, Kind
from energy.line import Line
from energy.units import Ints, Mask


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """n readings, in order of their devices and times, no two of a device at one time.

    - `at` (n): when each was read, on the line
    - `value` (n): whole nanokilowatt-hours, as the device sent them
    - `device` (n): the place of its device
    - `held` (n): the place in `facts` of what the device was
    """

    at: Ints
    value: Ints
    device: Ints
    held: Ints
    facts: Sequence[Facts]

    @classmethod
    def of(cls, at: Ints, value: Ints, counts: Ints, devices: Sequence[Device], line: Line) -> Self:
        """Put the readings of devices on the line; device k has the next `counts[k]` of them.

        `at` (n) are microseconds since 1970.
        """
        device = np.repeat(np.arange(len(devices)), counts)
        numbers: dict[Facts, int] = {}
        held = np.empty(len(at), np.int64)
        end = 0
        for count, one in zip(counts.tolist(), devices, strict=True):
            begin, end = end, end + count
            own = [numbers.setdefault(dated.facts, len(numbers)) for dated in one.dated]
            held[begin:end] = own[0] if len(own) == 1 else np.array(own)[one.places(at[begin:end])]
        return cls(at + line.shift[device], value, device, held, list(numbers))

    def __len__(self) -> int:
        return len(self.at)

    def take(self, rows: Mask | slice) -> Self:
        """Return the chosen readings, in the same order."""
        return type(self)(
            self.at[rows], self.value[rows], self.device[rows], self.held[rows], self.facts
        )

    def is_register(self) -> Mask:
        """Return for each reading (n) whether it is a counter's value."""
        of_facts = np.array([one.kind is Kind.REGISTER for one in self.facts], np.bool_)
        return of_facts[self.held]

    def is_first(self) -> Mask:
        """Return for each reading (n) whether it is its device's first."""
        first = np.ones(len(self), np.bool_)
        first[1:] = self.device[1:] != self.device[:-1]
        return first
