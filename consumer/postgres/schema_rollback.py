"""The way back to an older version of the schema, where nothing is lost by it.

Migrations are undone one by one, the newest first, by their files `NNNN_name.down.sql`. Each leaves
the schema as the release of the version before knows it, and raises an exception if it would lose
something. A migration without such a file cannot be undone.
"""

from functools import partial

from psycopg import sql
from psycopg.errors import RaiseException

from consumer.errors import UnfitDatabase
from consumer.postgres.connection import Connection
from consumer.postgres.migrations import Migration, migrations
from consumer.postgres.schema_turn import Tell, alone, nobody, read_version, repeatedly

_FIRST = "SELECT min(version) FROM schema_version"
_FORGET = "DELETE FROM schema_version WHERE version = {}"


async def roll_back(connection: Connection, version: int, *, tell: Tell = nobody) -> list[str]:
    """Bring the schema back to a version, and return what was done, a line each.

    Safe to repeat. Raises UnfitDatabase if it cannot be done, and psycopg.Error.
    """
    return await repeatedly(partial(_take_step, connection, version, tell))


async def try_rollback(connection: Connection, version: int, *, tell: Tell = nobody) -> list[str]:
    """Return what `roll_back` would do; raises what it raises, and changes nothing.

    It is done, and then undone: whether something would be lost is known only by that.
    """

    async def step() -> tuple[list[str], bool]:
        async with alone(connection, tell, force_rollback=True):
            chosen = await _chosen(connection, version)
            for one in chosen:
                await _undo(connection, one)
            return [f"would undo {one.name}" for one in chosen], True

    return await repeatedly(step)


async def _take_step(connection: Connection, version: int, tell: Tell) -> tuple[list[str], bool]:
    """Undo one migration; return what was done, and whether it was the last."""
    async with alone(connection, tell):
        chosen = await _chosen(connection, version)
        for one in chosen[:1]:
            await _undo(connection, one)
        return [f"undid {one.name}" for one in chosen[:1]], len(chosen) <= 1


async def _chosen(connection: Connection, version: int) -> list[Migration]:
    """Return the migrations after a version that the database has, the newest first.

    Raises UnfitDatabase unless all of them can be undone.
    """
    found = await read_version(connection)
    newest = migrations()[-1].version
    if not found:
        raise UnfitDatabase("there is no schema with a version here")
    if found > newest:
        raise UnfitDatabase(
            f"the schema is at version {found}, and this code knows versions up to {newest}:"
            " use the release that made it"
        )
    if version > found:
        raise UnfitDatabase(f"the schema is at version {found}: only `schema apply` goes forward")
    first = await _first(connection)
    if version < first:
        raise UnfitDatabase(f"this database never was at version {version}: its first was {first}")
    chosen = [one for one in reversed(migrations()) if version < one.version <= found]
    for one in chosen:
        if one.down is None:
            raise UnfitDatabase(f"{one.name} cannot be undone: what it made possible would be lost")
    return chosen


async def _first(connection: Connection) -> int:
    cursor = await connection.execute(_FIRST)
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])


async def _undo(connection: Connection, migration: Migration) -> None:
    try:
        await connection.execute(migration.down or "")
    except RaiseException as error:
        raise UnfitDatabase(f"{migration.name}: {error.diag.message_primary}") from error
    await connection.execute(sql.SQL(_FORGET).format(sql.Literal(migration.version)))
