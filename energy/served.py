"""Which vehicles a meter served, and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from energy.bonds import Bond, Bonds
from energy.sides import Parts
from energy.spans import Spans


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """The n vehicles that a meter served in a window.

    - `alone`: when the meter's energy was one vehicle's (owner: its place; device: 0, the meter)
    - `together`: when it was at the meter, alone or not (owner and device: its place). While in a
      session on another one it was not, whatever is assigned
    - `shares`: at some time several were assigned, and no session ran
    """

    vehicles: Sequence[str]
    alone: Parts
    together: Parts
    shares: bool

    @classmethod
    def of(cls, meter: str, bonds: Bonds, start: int, end: int) -> Self:
        """Ask the bonds of the meter and its vehicles about start < t <= end (µs since 1970)."""
        assignments, sessions = bonds.assignments_of_meter[meter], bonds.sessions_of_meter[meter]
        bound = sorted({bond.vehicle for bond in (*assignments, *sessions)})
        busy = _spans(sessions, start, end)
        assigned = {
            vehicle: _spans(_of(vehicle, assignments), start, end).without(busy)
            for vehicle in bound
        }
        charging = {vehicle: _spans(_of(vehicle, sessions), start, end) for vehicle in bound}
        # One that is assigned, but while another charges, is not at the meter.
        vehicles = [one for one in bound if len(charging[one]) or len(assigned[one])]
        alone: list[tuple[int, int, int, int]] = []
        together: list[tuple[int, int, int, int]] = []
        shares = False
        for place, vehicle in enumerate(vehicles):
            others = Spans.of_pairs(
                pair
                for other, spans in assigned.items()
                if other != vehicle
                for pair in spans.pairs()
            )
            shares |= bool(len(assigned[vehicle].intersection(others)))
            mine = charging[vehicle].union(assigned[vehicle].without(others))
            elsewhere = [one for one in bonds.sessions_of_vehicle[vehicle] if one.meter != meter]
            waiting = assigned[vehicle].without(_spans(elsewhere, start, end))
            at_it = charging[vehicle].union(waiting)
            alone += [(place, 0, *pair) for pair in mine.pairs()]
            together += [(place, place, *pair) for pair in at_it.pairs()]
        return cls(vehicles, Parts.of(alone), Parts.of(together), shares)


def _of(vehicle: str, bonds: Sequence[Bond]) -> list[Bond]:
    return [bond for bond in bonds if bond.vehicle == vehicle]


def _spans(bonds: Sequence[Bond], start: int, end: int) -> Spans:
    return Spans.of_pairs((bond.start, bond.end) for bond in bonds).within(start, end)
