"""What goes on right now: live devices, the newest reading stored, recent dead letters."""

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.rows import only_row
from api.queries.statements import statement


async def activity(connection: Connection, group: str, *, most_letters: int) -> DictRow:
    """Return what the statement names; dead letters are counted to `most_letters`, no further.

    `group` is the consumer group whose dead letters are told apart from others'.
    """
    return await only_row(connection, statement("activity"), group=group, most_letters=most_letters)
