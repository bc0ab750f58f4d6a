"""The statements of `sql/`: as they are, and composed for each stream."""

from psycopg import sql

from runtime.statements import statements_of
from telemetry.streams import Stream

statement = statements_of("consumer.postgres")


class StreamStatements:
    """The statements of a flush, with the names of one stream's tables and columns filled in."""

    def __init__(self, stream: Stream) -> None:
        measures = [sql.Identifier(name) for name in stream.measures]
        comma = sql.SQL(", ")
        names: dict[str, sql.Composable] = {
            "history": sql.Identifier(stream.history),
            "current_state": sql.Identifier(stream.current_state),
            "registry": sql.Identifier(stream.registry),
            "id": sql.Identifier(stream.id_column),
            "measures": comma.join(measures),
            "arrays": comma.join([sql.SQL("%b::float8[]")] * len(measures)),
            "assignments": comma.join(
                sql.SQL("{0} = excluded.{0}").format(measure) for measure in measures
            ),
            "asked_measures": comma.join(
                sql.SQL("asked.{}").format(measure) for measure in measures
            ),
            "stored_measures": comma.join(
                sql.SQL("stored.{}").format(measure) for measure in measures
            ),
        }

        def composed(name: str) -> bytes:
            return sql.SQL(statement(name)).format(**names).as_bytes()

        self.copy_history = composed("copy_history")
        self.read_newest = composed("read_newest")
        self.find_stored = composed("find_stored")
        self.upsert_current_state = composed("upsert_current_state")
        self.find_registered = composed("find_registered")
