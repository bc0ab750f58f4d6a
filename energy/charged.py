"""Whose energy the meters' is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from energy.bonds import Bonds
from energy.line import Line, Row
from energy.sides import Parts
from energy.spans import Spans
from energy.units import Ints, Mask


@dataclass(frozen=True, slots=True, eq=False)
class Charged:
    """When the energy of meters was that of n vehicles: the parts' owners.

    `has_meter` (n): a meter was assigned or a session ran; `shares` (n): at some time several
    vehicles were assigned to one of its meters, and no session ran there.
    """

    parts: Parts
    has_meter: Mask
    shares: Mask

    @classmethod
    def of(
        cls, vehicles: Sequence[str], meters: Sequence[str], bonds: Bonds, start: int, end: int
    ) -> Self:
        """Ask the bonds about start < t <= end (µs since 1970); `meters` has all that are bound.

        A meter's energy is that of the vehicle whose session runs on it; else of the vehicle that
        is assigned to it, if it is exactly one.
        """
        pairs = [
            (owner, meter)
            for owner, vehicle in enumerate(vehicles)
            for meter in bonds.meters_of(vehicle)
        ]
        # Each pair has a stretch: the window.
        line = Line.of(np.full(len(pairs), start), np.full(len(pairs), end))
        assigned: list[Row] = []
        others: list[Row] = []
        charging: list[Row] = []
        busy: list[Row] = []
        for place, (owner, meter) in enumerate(pairs):
            for bond in bonds.assignments_of_meter[meter]:
                rows = assigned if bond.vehicle == vehicles[owner] else others
                rows.append((place, bond.start, bond.end))
            for bond in bonds.sessions_of_meter[meter]:
                busy.append((place, bond.start, bond.end))
                if bond.vehicle == vehicles[owner]:
                    charging.append((place, bond.start, bond.end))
        free = line.spans(assigned).without(line.spans(busy))
        others_too = line.spans(others)
        charged = line.spans(charging).union(free.without(others_too))
        owners = np.array([owner for owner, _ in pairs], np.int64)
        device_of = {meter: place for place, meter in enumerate(meters)}
        devices = np.array([device_of[meter] for _, meter in pairs], np.int64)
        pair = line.stretch(charged.ends)
        shift = line.shift[pair]
        return cls(
            Parts(owners[pair], devices[pair], charged.starts - shift, charged.ends - shift),
            _which(len(vehicles), owners, line, line.spans(assigned).union(line.spans(charging))),
            _which(len(vehicles), owners, line, free.intersection(others_too)),
        )

    @classmethod
    def by(cls, meter: int, start: int, end: int) -> Self:
        """Let all energy of one meter count for one vehicle, whatever was assigned."""
        return cls(Parts.of([(0, meter, start, end)]), np.array([True]), np.array([False]))


def _which(count: int, owners: Ints, line: Line, spans: Spans) -> Mask:
    """Return which of the owners have a span."""
    which = np.zeros(count, np.bool_)
    which[owners[line.stretch(spans.ends)]] = True
    return which
