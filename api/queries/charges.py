"""What charges come to: computed apart from the rows, for it may take long.

No lock is held meanwhile, and a page of sessions ends early rather than late.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.statements import statement

# After so many seconds a page ends. Sessions are computed some at a time, to look at the clock.
ENOUGH_S = 2.0
_AT_ONCE = 25

Charge = Mapping[str, Any]
"""`vehicle_id`, `meter_id`, `started_at`, and `ended_at`, which is None while it runs."""


async def energies(connection: Connection, charges: Sequence[Charge]) -> list[DictRow]:
    """Return `ac_kwh`, `dc_kwh` and `ratio` of each charge, in their order."""
    cursor = await connection.execute(
        statement("session_energy"),
        {
            "vehicle_ids": [charge["vehicle_id"] for charge in charges],
            "meter_ids": [charge["meter_id"] for charge in charges],
            "starts": [charge["started_at"] for charge in charges],
            "ends": [charge["ended_at"] for charge in charges],
        },
    )
    return await cursor.fetchall()


async def energies_in_time(connection: Connection, charges: Sequence[Charge]) -> list[DictRow]:
    """Return the energies of the first charges: of all, or of those that the time was enough for.

    Those of one are returned in any case, so that every page is a step towards the end.
    """
    found: list[DictRow] = []
    began, size = time.monotonic(), 1
    while len(found) < len(charges):
        found += await energies(connection, charges[len(found) : len(found) + size])
        if time.monotonic() - began > ENOUGH_S:
            break
        size = _AT_ONCE
    return found
