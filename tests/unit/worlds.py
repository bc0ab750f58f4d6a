"""Small runs with a world, for the tests of truth."""

from functools import cache
from typing import Any

from producer_sim.devices.chaos import Shares
from producer_sim.devices.records import Record
from producer_sim.oracle.truth import Truth
from producer_sim.runs.load import Load
from producer_sim.runs.plan import Plan

START_US = 1_770_717_600_000_000
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US


def plan_of(**changed: Any) -> Plan:
    """Return a day of forty pairs, with registers and nothing lost."""
    usual: dict[str, Any] = {
        "devices": 40,
        "interval_us": 5 * MINUTE_US,
        "seed": 1,
        "start_us": START_US,
        "duration_us": 24 * HOUR_US,
        "fleet_name": None,
        "shares": Shares(),
        "registers": 0.2,
    }
    return Plan(**usual | changed)


@cache
def lived(**changed: Any) -> tuple[Truth, list[Record]]:
    """Return the truth of such a run, and every record that it sent; nobody changes either."""
    load = Load(plan_of(**changed))
    sent = [chunk.row(index) for chunk in load.chunks() for index in range(len(chunk))]
    assert load.witness is not None
    return load.witness.truth(), sent
