"""Two ways to one answer: by rollups for the whole fleet, by history for each vehicle."""

from typing import Any

from tests.energy.worlds import Connection, as_datetime

VALUES = {"meter": "(%s, %s, %s, 230)", "vehicle": "(%s, %s, 50, %s, 20)"}


def roll_up(connection: Connection, most: int = 1_000) -> None:
    """Work off the notes that are there."""
    connection.execute("SELECT roll_up(%s)", [most])


def by_fleet(connection: Connection, start: int, end: int) -> list[dict[str, Any]]:
    """Return what the whole fleet's question says."""
    return connection.execute(
        """
        SELECT vehicle_id, status, round(ac_kwh::numeric, 9) AS ac_kwh,
               round(dc_kwh::numeric, 9) AS dc_kwh, ratio, percentage,
               vehicle_coverage, meter_coverage
        FROM fleet_performance(%s, %s) ORDER BY vehicle_id
        """,
        [as_datetime(start), as_datetime(end)],
    ).fetchall()


def one_by_one(connection: Connection, start: int, end: int) -> list[dict[str, Any]]:
    """Return what history says of each vehicle."""
    return connection.execute(
        """
        SELECT known.vehicle_id, p.status, round(p.ac_kwh::numeric, 9) AS ac_kwh,
               round(p.dc_kwh::numeric, 9) AS dc_kwh, p.ratio, p.percentage,
               p.vehicle_coverage, p.meter_coverage
        FROM (SELECT vehicle_id FROM vehicle UNION SELECT vehicle_id FROM vehicle_current_state)
                 AS known,
             vehicle_performance(known.vehicle_id, %s, %s) AS p
        ORDER BY vehicle_id
        """,
        [as_datetime(start), as_datetime(end)],
    ).fetchall()
