"""What goes on now: live devices, the newest reading stored, recent dead letters."""

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.rows import only_row
from api.queries.statements import statement


async def activity(connection: Connection, group: str, *, most_letters: int) -> DictRow:
    """Return the columns of the statement; dead letters are counted up to `most_letters`.

    `group` is the consumer group whose dead letters are counted apart from others'.
    """
    return await only_row(connection, statement("activity"), group=group, most_letters=most_letters)
