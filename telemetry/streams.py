"""The two streams: the topic, the message and the tables of each kind of reading."""

from dataclasses import dataclass

from telemetry.readings import MeterReading, VehicleReading


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # hashed by identity, which is fast
class Stream:
    """A topic, its message, and the tables of its readings.

    `fields` are the measures' names in JSON, `measures` their columns, in the same order. A device
    may leave out all of them except `energy_field`.
    """

    name: str
    topic: str
    message: type[MeterReading] | type[VehicleReading]
    id_field: str
    fields: tuple[str, ...]
    energy_field: str
    id_column: str
    measures: tuple[str, ...]
    history: str
    current_state: str
    registry: str


METER = Stream(
    name="meter",
    topic="telemetry.meter",
    message=MeterReading,
    id_field="meterId",
    fields=("kwhConsumedAc", "voltage"),
    energy_field="kwhConsumedAc",
    id_column="meter_id",
    measures=("kwh_consumed_ac", "voltage"),
    history="meter_history",
    current_state="meter_current_state",
    registry="meter",
)
VEHICLE = Stream(
    name="vehicle",
    topic="telemetry.vehicle",
    message=VehicleReading,
    id_field="vehicleId",
    fields=("soc", "kwhDeliveredDc", "batteryTemp"),
    energy_field="kwhDeliveredDc",
    id_column="vehicle_id",
    measures=("soc", "kwh_delivered_dc", "battery_temp"),
    history="vehicle_history",
    current_state="vehicle_current_state",
    registry="vehicle",
)
STREAMS = (METER, VEHICLE)
BY_TOPIC = {stream.topic: stream for stream in STREAMS}
