"""The statements of `sql/`: as they are, and composed for each stream."""

from collections.abc import Iterable

from psycopg import sql

from api.models.devices import MeterChange, VehicleChange
from runtime.statements import statements_of
from telemetry.streams import METER, VEHICLE, Stream

statement = statements_of("api.queries")


class StreamStatements:
    """The statements that differ between the streams by the names of tables and columns.

    `properties` are the columns of the stream's registry that people may set.
    """

    def __init__(self, stream: Stream, properties: Iterable[str]) -> None:
        comma = sql.SQL(", ")
        columns = list(properties)
        names: dict[str, sql.Composable] = {
            "history": sql.Identifier(stream.history),
            "current_state": sql.Identifier(stream.current_state),
            "registry": sql.Identifier(stream.registry),
            "id": sql.Identifier(stream.id_column),
            "measures": comma.join(map(sql.Identifier, stream.measures)),
            "properties": comma.join(map(sql.Identifier, columns)),
            "values": comma.join(map(sql.Placeholder, columns)),
        }

        def composed(name: str) -> bytes:
            return sql.SQL(statement(name)).format(**names).as_bytes()

        self.current_state = composed("current_state")
        self.current_states = composed("current_states")
        self.history = composed("history")
        self.insert_device = composed("insert_device")
        self.select_devices = composed("select_devices")
        self.select_device = composed("select_device")
        self.update_device = composed("update_device")


BY_STREAM = {
    METER: StreamStatements(METER, MeterChange.model_fields),
    VEHICLE: StreamStatements(VEHICLE, VehicleChange.model_fields),
}
