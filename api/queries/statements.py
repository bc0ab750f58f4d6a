"""The statements of `sql/`: as they are, and composed for each stream."""

from collections.abc import Iterable

from psycopg import sql
from pydantic import BaseModel

from api.models.devices import MeterChange, VehicleChange
from runtime.statements import statements_of
from telemetry.streams import METER, VEHICLE, Stream

statement = statements_of("api.queries")


class StreamStatements:
    """The statements that differ between the streams by the names of tables and columns.

    `properties` are the columns of the stream's registry that people may set, and `filters` those
    by whose value a list may be narrowed.
    """

    def __init__(
        self, stream: Stream, properties: Iterable[str], *, filters: Iterable[str]
    ) -> None:
        comma = sql.SQL(", ")
        names: dict[str, sql.Composable] = {
            "history": sql.Identifier(stream.history),
            "current_state": sql.Identifier(stream.current_state),
            "registry": sql.Identifier(stream.registry),
            "id": sql.Identifier(stream.id_column),
            "measures": comma.join(map(sql.Identifier, stream.measures)),
            "properties": comma.join(map(sql.Identifier, properties)),
            "filters": sql.SQL(" AND ").join(map(_is_as_asked, filters)),
        }

        def composed(name: str) -> bytes:
            return sql.SQL(statement(name)).format(**names).as_bytes()

        self.device_begin = composed("device_begin")
        self.current_state = composed("current_state")
        self.current_states = composed("current_states")
        self.history = composed("history")
        self.insert_devices = composed("insert_devices")
        self.select_devices = composed("select_devices")
        self.select_device = composed("select_device")
        self.select_registered = composed("select_registered")
        self.lock_device = composed("lock_device")
        self.update_device = composed("update_device")
        self.delete_device = composed("delete_device")


def _is_as_asked(column: str) -> sql.Composable:
    """Return the condition that the column has the value that is asked for, if one is."""
    asked, name = sql.Placeholder(column), sql.Identifier(column)
    return sql.SQL("({asked}::text IS NULL OR {name} = {asked})").format(asked=asked, name=name)


def _properties(change: type[BaseModel]) -> list[str]:
    """Return the columns that people set, all but the time from which a change holds."""
    return [name for name in change.model_fields if name != "valid_from"]


BY_STREAM = {
    METER: StreamStatements(METER, _properties(MeterChange), filters=("site", "label")),
    VEHICLE: StreamStatements(VEHICLE, _properties(VehicleChange), filters=("label",)),
}
