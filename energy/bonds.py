"""Assignments and sessions: which meter is bound to which vehicle, and when."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple


class Bond(NamedTuple):
    """A vehicle is assigned to a meter, or charges from it, while start < t <= end.

    Times are microseconds since 1970.
    """

    vehicle: str
    meter: str
    start: int
    end: int


class Bonds:
    """Bonds by the devices at both ends.

    They are those of some devices within a window, and of all that share a meter with them.
    """

    def __init__(self, assignments: Iterable[Bond], sessions: Iterable[Bond]) -> None:
        self.assignments_of_meter: defaultdict[str, list[Bond]] = defaultdict(list)
        self.sessions_of_meter: defaultdict[str, list[Bond]] = defaultdict(list)
        self.sessions_of_vehicle: defaultdict[str, list[Bond]] = defaultdict(list)
        self._meters: defaultdict[str, set[str]] = defaultdict(set)
        for bond in assignments:
            self.assignments_of_meter[bond.meter].append(bond)
            self._meters[bond.vehicle].add(bond.meter)
        for bond in sessions:
            self.sessions_of_meter[bond.meter].append(bond)
            self.sessions_of_vehicle[bond.vehicle].append(bond)
            self._meters[bond.vehicle].add(bond.meter)

    def meters_of(self, vehicle: str) -> list[str]:
        """Return the meters that the vehicle is bound to, in order of their ids."""
        return sorted(self._meters[vehicle])
