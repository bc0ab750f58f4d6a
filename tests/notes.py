"""Notes of readings that tests write to history themselves."""

from typing import Any

import psycopg

from telemetry.streams import STREAMS


def note_all(connection: psycopg.Connection[Any]) -> None:
    """Note each device and hour that history has, as flushes would have done."""
    for stream in STREAMS:
        connection.execute(
            "INSERT INTO rollup_due (stream, devices, hours)"
            f" SELECT '{stream.name}', array_agg(touched.device), array_agg(touched.hour) FROM ("
            f"SELECT DISTINCT {stream.id_column} AS device,"
            # A reading on the hour belongs to the hour that it ends.
            " ceil(hours_since_1970(recorded_at))::integer - 1 AS hour"
            f" FROM {stream.history}) AS touched HAVING count(*) > 0"
        )
