"""Worlds of the slow reference, put to the product's arithmetic."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from energy.bonds import Bond, Bonds
from energy.charged import Charged
from energy.device import BEGINNING, Dated, Device, Facts, Kind
from energy.history import History
from energy.line import Line
from energy.performance import Performance, performance
from energy.readings import Readings
from energy.sides import Sides
from energy.units import HOUR_US, NANO
from tests.energy import slow_world
from tests.energy.slow_world import EVER, Stay, World


@dataclass(frozen=True)
class Said:
    """What is answered of a vehicle and a window, in plain numbers."""

    ac: list[int | None]  # by hour
    dc: list[int | None]
    known: tuple[int, int]  # AC, DC, in microseconds
    asked: tuple[int, int]
    readings: tuple[int, int]
    status: str
    reasons: set[str]


def ask(
    world: World,
    start: int,
    end: int,
    vehicles: Sequence[str] | None = None,
    *,
    order: Callable[[list[str]], list[str]] = list,
) -> dict[str, Said]:
    """Ask for vehicles at once, all of them by default, each with the meters it is bound to."""
    names = order([car.name for car in world.vehicles] if vehicles is None else list(vehicles))
    bonds = Bonds(
        [bond_of(stay) for stay in world.assignments], [bond_of(stay) for stay in world.sessions]
    )
    meters = order(sorted({meter for name in names for meter in bonds.meters_of(name)}))
    answered = performance(
        history(world, names, start, end),
        history(world, meters, start, end),
        Charged.of(names, meters, bonds, start, end),
        start,
        end,
    )
    return {name: said_of(answered, place) for place, name in enumerate(names)}


def ask_of_meter(world: World, vehicle: str, meter: str, start: int, end: int) -> Said:
    """Ask for a vehicle, as if all that the meter drew was for it."""
    answered = performance(
        history(world, [vehicle], start, end),
        history(world, [meter], start, end),
        Charged.by(0, start, end),
        start,
        end,
    )
    return said_of(answered, 0)


def history(world: World, names: Sequence[str], start: int, end: int) -> History:
    """Return the readings of some devices, judged."""
    found = {device.name: device for device in world.meters + world.vehicles}
    chosen = [found.get(name, slow_world.Device(name)) for name in names]
    devices = [plain_device(device) for device in chosen]
    rows = [sorted((one.at, one.value) for one in device.readings) for device in chosen]
    begins = [
        min([start, *(at for at, _ in own)]) - max(facts.interval for facts in device.facts)
        for device, own in zip(chosen, rows, strict=True)
    ]
    line = Line.of(
        np.array(begins, np.int64) - HOUR_US,
        np.array([max([end, *(at for at, _ in own)]) + HOUR_US for own in rows], np.int64),
    )
    table = np.array([row for own in rows for row in own], np.int64).reshape(-1, 2)
    counts = np.array([len(own) for own in rows], np.int64)
    sessions = [
        (place, stay.start, stay.end)
        for place, name in enumerate(names)
        for stay in world.sessions
        if name in (stay.meter, stay.vehicle)
    ]
    readings = Readings.of(table[:, 0], table[:, 1], counts, devices, line)
    return History.of(line, devices, readings, sessions, world.as_of)


def plain_device(device: slow_world.Device) -> Device:
    ordered = sorted(device.facts, key=lambda facts: facts.since)
    return Device(
        [
            Dated(
                BEGINNING if facts.since == -EVER else facts.since,
                Facts(
                    kind=Kind.REGISTER if facts.register else Kind.INTERVAL,
                    interval_s=facts.interval / slow_world.SECOND,
                    capacity_kw=None if facts.capacity_kw is None else float(facts.capacity_kw),
                    modulus_kwh=None if facts.modulus is None else facts.modulus / NANO,
                    step_kwh=facts.step / NANO,
                    reports_only_while_charging=facts.only_while_charging,
                ),
            )
            for facts in ordered
        ]
    )


def bond_of(stay: Stay) -> Bond:
    return Bond(stay.vehicle, stay.meter, stay.start, stay.end)


def said_of(answered: Performance, place: int) -> Said:
    ac, dc = answered.ac, answered.dc

    def by_hour(side: Sides) -> list[int | None]:
        return [
            energy if told else None
            for energy, told in zip(
                side.energy[place].tolist(), side.is_told[place].tolist(), strict=True
            )
        ]

    return Said(
        by_hour(ac),
        by_hour(dc),
        (int(ac.known_us[place]), int(dc.known_us[place])),
        (int(ac.asked_us[place]), int(dc.asked_us[place])),
        (int(ac.readings[place]), int(dc.readings[place])),
        str(answered.status[place]),
        {str(reason) for reason in answered.reasons[place]},
    )
