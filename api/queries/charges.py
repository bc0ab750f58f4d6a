"""The energy of charging sessions, which may take long to compute.

It is computed apart from the rows of sessions, so that no lock is held meanwhile, and a page of
sessions may end early.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from api.postgres.database import Connection
from energy.ratio import ratio
from energy.stored import charges as stored
from energy.stored.histories import Entering
from energy.stored.times import as_us, end_us
from energy.units import as_kwh

ENOUGH_S = 2.0
"""A page ends once computing its energies has taken this many seconds."""
# How many are computed before the clock is looked at again.
_AT_ONCE = 25

Charge = Mapping[str, Any]
"""A session, or one that is not entered yet.

`vehicle_id`, `meter_id`, `started_at`, and `ended_at`, which is None while it runs.
"""


async def energies(
    connection: Connection, charges: Sequence[Charge], *, entering: Entering | None = None
) -> list[dict[str, Any]]:
    """Return `ac_kwh`, `dc_kwh` and `ratio` of each charge, in their order.

    An energy is None if nothing is known of it. `entering`: a session of all of them, which counts
    as if it were stored. The connection is in a snapshot.
    """
    asked = [
        stored.Charge(
            charge["vehicle_id"], charge["meter_id"], charge["started_at"], charge["ended_at"]
        )
        for charge in charges
    ]
    found = await stored.read_energies(connection, asked, datetime.now(UTC), entering=entering)
    return [
        {"ac_kwh": as_kwh(ac), "dc_kwh": as_kwh(dc), "ratio": ratio(ac, dc)} for ac, dc in found
    ]


async def energy_once_entered(connection: Connection, charge: Charge) -> dict[str, Any]:
    """Return what `energies` will once the charge is entered, because that moves energy into it.

    One that is changed has its `session_id`. The connection is in a snapshot.
    """
    times = as_us(charge["started_at"]), end_us(charge["ended_at"])
    entering = Entering(charge.get("session_id"), *times)
    (energy,) = await energies(connection, [charge], entering=entering)
    return energy


async def energies_in_time(
    connection: Connection, charges: Sequence[Charge]
) -> list[dict[str, Any]]:
    """Return the energies of as many of the first charges as are computed in time.

    The first one's are always among them, so that every page is a step towards the end.
    """
    found: list[dict[str, Any]] = []
    began, size = time.monotonic(), 1
    while len(found) < len(charges):
        found += await energies(connection, charges[len(found) : len(found) + size])
        if time.monotonic() - began > ENOUGH_S:
            break
        size = _AT_ONCE
    return found
