"""The energy of charging sessions, which may take long to compute.

It is computed apart from the rows of sessions, so that no lock is held meanwhile, and a page of
sessions may end early.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.rows import all_rows
from api.queries.statements import statement

ENOUGH_S = 2.0
"""A page ends once computing its energies has taken this many seconds."""
# How many are computed before the clock is looked at again.
_AT_ONCE = 25

Charge = Mapping[str, Any]
"""A session, or one that is not entered yet.

`vehicle_id`, `meter_id`, `started_at`, and `ended_at`, which is None while it runs.
"""


async def energies(connection: Connection, charges: Sequence[Charge]) -> list[DictRow]:
    """Return `ac_kwh`, `dc_kwh` and `ratio` of each charge, in their order."""
    return await all_rows(
        connection,
        statement("charged_energy"),
        vehicle_ids=[charge["vehicle_id"] for charge in charges],
        meter_ids=[charge["meter_id"] for charge in charges],
        starts=[charge["started_at"] for charge in charges],
        ends=[charge["ended_at"] for charge in charges],
    )


async def energies_in_time(connection: Connection, charges: Sequence[Charge]) -> list[DictRow]:
    """Return the energies of as many of the first charges as are computed in time.

    The first one's are always among them, so that every page is a step towards the end.
    """
    found: list[DictRow] = []
    began, size = time.monotonic(), 1
    while len(found) < len(charges):
        found += await energies(connection, charges[len(found) : len(found) + size])
        if time.monotonic() - began > ENOUGH_S:
            break
        size = _AT_ONCE
    return found
