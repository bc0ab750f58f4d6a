"""Reads which vehicles took another energy than what is kept, and from which hour on."""

from energy.stored.histories import Connection
from energy.stored.statements import statement
from energy.stored.times import as_us


async def read_affected(connection: Connection) -> dict[str, int]:
    """Return such vehicles, and after which whole hour they did (µs since 1970).

    Their energy until then is what is kept. Raises psycopg.Error.
    """
    cursor = await connection.execute(statement("affected"))
    return {row["vehicle_id"]: as_us(row["since"]) async for row in cursor}
