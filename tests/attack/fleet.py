"""The honest fleet: registered pairs of meter and vehicle, with a day of readings each.

It is written once into a database of its own, of which every site gets a copy. No reading is noted:
else every replica would begin to roll them up, which is not part of any attack.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from telemetry.streams import STREAMS

EVERY = timedelta(minutes=30)
_NAME = "attack_fleet"

_EACH = "generate_series(1, %(pairs)s) AS pair"
_READING = f"""{_EACH} CROSS JOIN generate_series(
    %(start)s::timestamptz, %(end)s, %(every)s * interval '1 s') AS at"""
_METERS = f"""
    INSERT INTO meter (meter_id, capacity_kw, reading_interval_seconds)
    SELECT 'mtr-' || pair, 22, %(every)s FROM {_EACH}"""
_VEHICLES = f"""
    INSERT INTO vehicle (vehicle_id, reading_interval_seconds)
    SELECT 'veh-' || pair, %(every)s FROM {_EACH}"""
_ASSIGNMENTS = f"""
    INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at)
    SELECT 'veh-' || pair, 'mtr-' || pair, %(start)s FROM {_EACH}"""
_METER_HISTORY = f"""
    INSERT INTO meter_history (meter_id, recorded_at, kwh_consumed_ac, voltage)
    SELECT 'mtr-' || pair, at, 1, 230 FROM {_READING}"""
_VEHICLE_HISTORY = f"""
    INSERT INTO vehicle_history (vehicle_id, recorded_at, soc, kwh_delivered_dc, battery_temp)
    SELECT 'veh-' || pair, at, 60, 0.8, 25 FROM {_READING}"""
_METER_STATES = """
    INSERT INTO meter_current_state (meter_id, recorded_at, kwh_consumed_ac, voltage, updated_at)
    SELECT meter_id, %(end)s, 1, 230, %(end)s FROM meter"""
_VEHICLE_STATES = """
    INSERT INTO vehicle_current_state
        (vehicle_id, recorded_at, soc, kwh_delivered_dc, battery_temp, updated_at)
    SELECT vehicle_id, %(end)s, 60, 0.8, 25, %(end)s FROM vehicle"""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """`pairs` meters and vehicles, named by their numbers from 1 on; `url` is the server's."""

    url: str
    pairs: int

    def write(self, code: Path) -> None:
        """Make the database that sites are copied from, by the schema of this tree."""
        with psycopg.connect(self.url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_NAME)))
        url = at_database(self.url, _NAME)
        subprocess.run(
            [sys.executable, "-m", "consumer", "schema", "apply"],
            cwd=code,
            env=os.environ | {"DATABASE_URL": url},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        end = datetime.now(UTC).replace(second=0, microsecond=0)
        facts = {
            "pairs": self.pairs,
            "every": EVERY.total_seconds(),
            "start": end - timedelta(days=1),
            "end": end,
        }
        with psycopg.connect(url, autocommit=True) as connection:
            for day in (end - timedelta(days=1), end):
                _make_day(connection, day)
            for statement in (
                *(_METERS, _VEHICLES, _ASSIGNMENTS, _METER_HISTORY, _VEHICLE_HISTORY),
                *(_METER_STATES, _VEHICLE_STATES),
            ):
                connection.execute(statement, facts)
            connection.execute("VACUUM ANALYZE")

    def copy(self, name: str) -> str:
        """Make a database of this fleet and return its URL."""
        with psycopg.connect(self.url, autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(_NAME)
                )
            )
        return at_database(self.url, name)

    def remove(self, name: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as admin:
            admin.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


def at_database(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    return url.rsplit("/", 1)[0] + f"/{name}"


def _make_day(connection: psycopg.Connection, day: datetime) -> None:
    """Make a day of history that a replica has not made ahead."""
    first = day.replace(hour=0, minute=0)
    for stream in STREAMS:
        name = f"{stream.history}_{first:%Y%m%d}"
        connection.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})"
            ).format(
                sql.Identifier(name),
                sql.Identifier(stream.history),
                first.isoformat(),
                (first + timedelta(days=1)).isoformat(),
            )
        )
