"""Pairs with quirks, put to the product's arithmetic."""

from functools import cache

import numpy as np

from energy.bonds import Bond, Bonds
from energy.charged import Charged
from energy.device import Device, Facts, Kind
from energy.history import History
from energy.line import Line
from energy.performance import Performance, performance
from energy.readings import Readings
from energy.units import to_nano
from producer_sim.devices.quirks import device as quirks_device
from producer_sim.devices.quirks.pairs import Pair, Pairs
from producer_sim.devices.quirks.quirk import Quirk
from producer_sim.devices.records import Record
from tests.unit.worlds import HOUR_US, MINUTE_US, START_US

END_US = START_US + 24 * HOUR_US


@cache
def pairs_of(
    *, seed: int = 1, count: int = len(Quirk), interval_us: int = MINUTE_US, end_us: int = END_US
) -> Pairs:
    """Return the pairs of a day, as many as there are quirks."""
    return Pairs(
        numbers=range(100, 100 + count),
        seed=seed,
        start_us=START_US,
        end_us=end_us,
        interval_us=interval_us,
        fleet_name=None,
    )


def judged(pairs: Pairs, pair: Pair, start: int, end: int) -> Performance:
    """Return the product's answer about one pair, a day after its last reading."""
    sessions = [
        Bond(pair.vehicle_id, pair.meter_id, begun, ended) for begun, ended in pair.sessions(END_US)
    ]
    assigned = [Bond(pair.vehicle_id, pair.meter_id, START_US - HOUR_US, 2**62)]
    return performance(
        _history(pairs, pair.vehicle, pair.vehicle_id, sessions),
        _history(pairs, pair.meter, pair.meter_id, sessions),
        Charged.of([pair.vehicle_id], [pair.meter_id], Bonds(assigned, sessions), start, end),
        start,
        end,
    )


@cache
def sent_by_device(pairs: Pairs) -> dict[str, list[Record]]:
    """Return what the pairs send in their day."""
    sent = pairs.between(START_US, END_US)
    found: dict[str, list[Record]] = {}
    for index, name in enumerate(sent.device_ids):
        found.setdefault(name, []).append(sent.row(index))
    return found


def _history(
    pairs: Pairs, device: quirks_device.Device, name: str, sessions: list[Bond]
) -> History:
    mine = sent_by_device(pairs)[name]
    place = 0 if name.startswith("mtr") else 1
    facts = device.facts()
    registered = Device.of(
        Facts(
            kind=Kind(device.reading_kind),
            interval_s=device.interval_us / 1_000_000,
            capacity_kw=facts.get("capacityKw", device.life.charges.kw) if place == 0 else None,
            step_kwh=facts.get("registerStepKwh", 1),
            reports_only_while_charging=facts.get("reportsOnlyWhileCharging", False),
        )
    )
    line = Line.of(np.array([START_US - 2 * HOUR_US]), np.array([END_US + 2 * HOUR_US]))
    readings = Readings.of(
        np.array([row.recorded_at for row in mine], np.int64),
        to_nano(np.array([row.measures[place] for row in mine], np.float64)),
        np.array([len(mine)]),
        [registered],
        line,
    )
    spans = [(0, bond.start, bond.end) for bond in sessions]
    return History.of(line, [registered], readings, spans, END_US + 24 * HOUR_US)
