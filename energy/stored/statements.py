"""The statements of `sql/`: as they are, and composed for each stream."""

from psycopg import sql

from runtime.statements import statements_of
from telemetry.streams import METER, VEHICLE, Stream

statement = statements_of("energy.stored")


def by_stream(name: str) -> dict[Stream, bytes]:
    """Return a statement with the names of each stream's tables and columns."""
    energy = {METER: "kwh_consumed_ac", VEHICLE: "kwh_delivered_dc"}
    return {
        stream: sql.SQL(statement(name))
        .format(
            history=sql.Identifier(stream.history),
            id=sql.Identifier(stream.id_column),
            kwh=sql.Identifier(energy[stream]),
        )
        .as_bytes()
        for stream in (METER, VEHICLE)
    }
