"""Worlds that hypothesis draws: devices with their readings, who is bound to whom, and windows."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import chain, cycle
from typing import Any, TypeVar

import psycopg
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.energy.reference import FOREVER, HOUR_US, Bond, Device, Reading, World

T = TypeVar("T")
Connection = psycopg.Connection[dict[str, Any]]
DAY = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE_US = 60_000_000
VEHICLES = ("veh-1", "veh-2")
METERS = ("mtr-1", "mtr-2")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_US = (DAY - EPOCH) // timedelta(microseconds=1)


def _one_of(many: list[T], few: list[T]) -> SearchStrategy[T]:
    """Draw from either as often, in one draw: hypothesis is slow at strategies within strategies.

    The two alternate in one list, because it does not draw all places of a list alike.
    """
    return st.sampled_from([*chain.from_iterable(zip(many, cycle(few), strict=False))])


# Half minutes of the hours around midnight: few, so that edges meet.
_TIMES = [DAY_US + half * MINUTE_US // 2 for half in sorted(range(-240, 241), key=abs)]
_EDGES = [
    DAY_US + hour * HOUR_US + half * MINUTE_US // 2
    for hour in range(-2, 3)
    for half in range(-3, 4)
]
_times = _one_of(_TIMES, _EDGES)
_ends = st.one_of(_times, st.just(FOREVER))
_KWH = [Fraction(watt_hours, 1_000) for watt_hours in range(2_001)]
_ROUND_KWH = [Fraction(t, 100) for t in (0, 5, 10, 11, 95, 100, 900, 999)]
_kwh = {"interval": st.sampled_from(_KWH), "register": _one_of(_KWH, _ROUND_KWH)}


@st.composite
def _device(draw: st.DrawFn, *, rated: bool) -> Device:
    kind = draw(st.sampled_from(("interval", "register")))
    times = draw(st.lists(_times, unique=True, max_size=25))
    values = draw(st.lists(_kwh[kind], min_size=len(times), max_size=len(times)))
    return Device(
        kind=kind,
        interval_us=draw(st.sampled_from((30, 60, 90, 900))) * 1_000_000,
        rated_kw=draw(st.sampled_from((None, Fraction(11), Fraction(300)))) if rated else None,
        modulus=draw(st.sampled_from((None, Fraction(1), Fraction(10)))) if rated else None,
        readings=[
            Reading(at, kwh, None if at // MINUTE_US % 5 == 0 else float(at % 7))
            for at, kwh in zip(times, values, strict=True)
        ],
    )


_bond = st.tuples(st.sampled_from(VEHICLES), st.sampled_from(METERS), _times, _ends)


@st.composite
def _bonds(draw: st.DrawFn, *, unique_meters: bool) -> list[Bond]:
    bonds: list[Bond] = []
    count = draw(st.integers(0, 4))
    for vehicle, meter, start, end in draw(st.lists(_bond, min_size=count, max_size=count)):
        bond = Bond(vehicle, meter, start, max(start, end))
        taken = [
            other
            for other in bonds
            if (other.vehicle == bond.vehicle or (unique_meters and other.meter == bond.meter))
            and other.start < bond.end
            and bond.start < other.end
        ]
        if bond.start < bond.end and not taken:
            bonds.append(bond)
    return bonds


worlds = st.builds(
    World,
    meters=st.fixed_dictionaries({name: _device(rated=True) for name in METERS}),
    vehicles=st.fixed_dictionaries({name: _device(rated=False) for name in VEHICLES}),
    assignments=_bonds(unique_meters=False),
    sessions=_bonds(unique_meters=True),
)
windows = st.tuples(_times, _times).map(sorted).filter(lambda window: window[0] < window[1])


def store(connection: Connection, world: World) -> None:
    """Write a world into the tables."""
    with connection.cursor() as cursor:
        for name, device in world.meters.items():
            cursor.execute(
                "INSERT INTO meter (meter_id, reading_kind, reading_interval_seconds, capacity_kw,"
                " register_modulus_kwh) VALUES (%s, %s, %s, %s, %s)",
                [
                    name,
                    device.kind,
                    device.interval_us / 1e6,
                    None if device.rated_kw is None else float(device.rated_kw),
                    None if device.modulus is None else float(device.modulus),
                ],
            )
            cursor.executemany(
                "INSERT INTO meter_history VALUES (%s, %s, %s, 230)",
                [(name, as_datetime(one.at), float(one.kwh)) for one in device.readings],
            )
        for name, device in world.vehicles.items():
            cursor.execute(
                "INSERT INTO vehicle (vehicle_id, reading_kind, reading_interval_seconds)"
                " VALUES (%s, %s, %s)",
                [name, device.kind, device.interval_us / 1e6],
            )
            cursor.executemany(
                "INSERT INTO vehicle_history VALUES (%s, %s, 50, %s, %s)",
                [
                    (name, as_datetime(one.at), float(one.kwh), one.temperature)
                    for one in device.readings
                ],
            )
        for table, bonds in (
            ("vehicle_meter_assignment", world.assignments),
            ("charging_session", world.sessions),
        ):
            cursor.executemany(
                f"INSERT INTO {table} (vehicle_id, meter_id, started_at, ended_at)"
                " VALUES (%s, %s, %s, %s)",
                [
                    (
                        bond.vehicle,
                        bond.meter,
                        as_datetime(bond.start),
                        None if bond.end == FOREVER else as_datetime(bond.end),
                    )
                    for bond in bonds
                ],
            )


def as_datetime(at: int) -> datetime:
    return EPOCH + timedelta(microseconds=at)
