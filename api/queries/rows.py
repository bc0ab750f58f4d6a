"""The pages' questions to PostgreSQL."""

from typing import Any

from psycopg.errors import UndefinedColumn, UndefinedFunction, UndefinedTable
from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.problems import Problem
from api.queries.notes import refused_while_noted
from api.queries.statements import statement

_LACKS = (UndefinedTable, UndefinedColumn, UndefinedFunction)


async def rows(connection: Connection, name: str, **parameters: Any) -> list[DictRow]:
    """Return the rows of `sql/NAME.sql`; raises Problem (503) where the schema lacks something."""
    try:
        with refused_while_noted():
            cursor = await connection.execute(statement(name), parameters)
        return await cursor.fetchall()
    except _LACKS as error:
        # The schema was not applied yet, or is an older one.
        raise Problem(
            503, "the database lacks what this version needs: apply the schema"
        ) from error
