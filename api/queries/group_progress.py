"""How far a consumer group has come, as PostgreSQL knows it."""

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.rows import only_row
from api.queries.statements import statement


async def group_progress(connection: Connection, group: str, topics: list[str]) -> DictRow:
    """Return the group's `offsets`, `still_s`, the seconds since they moved, and `other_groups`."""
    return await only_row(connection, statement("group_progress"), group=group, topics=topics)
