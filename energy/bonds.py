"""Which meter charged which vehicle, and when."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from energy.spans import Spans


class Bond(NamedTuple):
    """A vehicle is assigned to a meter, or charges from it, while start < t <= end (µs)."""

    vehicle: str
    meter: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Bonds:
    """Assignments and sessions: of the devices of a question, and of all that share with them."""

    assignments: Sequence[Bond]
    sessions: Sequence[Bond]

    def charging(self, *, vehicle: str | None = None, meter: str | None = None) -> Spans:
        """Return when sessions ran, for a vehicle or on a meter."""
        return _when(self.sessions, vehicle=vehicle, meter=meter)

    def meters_of(self, vehicle: str, start: int, end: int) -> list[str]:
        """Return the meters that the vehicle was bound to in start < t <= end, in order."""
        return sorted({bond.meter for bond in self._within(start, end) if bond.vehicle == vehicle})

    def vehicles_of(self, meter: str, start: int, end: int) -> list[str]:
        """Return the vehicles that were bound to the meter in start < t <= end, in order."""
        return sorted({bond.vehicle for bond in self._within(start, end) if bond.meter == meter})

    def charged(self, vehicle: str, meter: str) -> Spans:
        """Return when the meter's energy was the vehicle's.

        It is the vehicle's whose session runs on the meter; else the one's that is assigned to it,
        if it is exactly one.
        """
        others = _when(self.assignments, meter=meter, but=vehicle)
        return self.charging(vehicle=vehicle, meter=meter).union(
            self._assigned(vehicle, meter).without(others)
        )

    def shared(self, vehicle: str, meter: str) -> Spans:
        """Return when others were assigned to the meter as well, and no session ran."""
        others = _when(self.assignments, meter=meter, but=vehicle)
        return self._assigned(vehicle, meter).intersection(others)

    def _assigned(self, vehicle: str, meter: str) -> Spans:
        assigned = _when(self.assignments, vehicle=vehicle, meter=meter)
        return assigned.without(self.charging(meter=meter))

    def _within(self, start: int, end: int) -> Iterable[Bond]:
        for bond in (*self.assignments, *self.sessions):
            if bond.start < end and bond.end > start:
                yield bond


def _when(
    bonds: Iterable[Bond],
    *,
    vehicle: str | None = None,
    meter: str | None = None,
    but: str | None = None,
) -> Spans:
    return Spans.of_pairs(
        (bond.start, bond.end)
        for bond in bonds
        if vehicle in (None, bond.vehicle) and meter in (None, bond.meter) and bond.vehicle != but
    )
