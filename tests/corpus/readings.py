"""A good message of each stream, field by field, in which a test changes what it is about."""

from telemetry.decode import TimeLimits
from telemetry.streams import METER, VEHICLE, Stream
from telemetry.timestamps import format_timestamp

NOW = 1_770_717_600_000_000  # 2026-02-10T10:00:00Z
LIMITS = TimeLimits.at(NOW, retention_days=400)

# The fields of a good message, as JSON spells their values.
METER_FIELDS = {
    "meterId": '"mtr-00042"',
    "kwhConsumedAc": "0.913",
    "voltage": "229.8",
    "timestamp": '"2026-02-10T10:00:00.000Z"',
}
VEHICLE_FIELDS = {
    "vehicleId": '"veh-00042"',
    "soc": "57.3",
    "kwhDeliveredDc": "0.842",
    "batteryTemp": "31.4",
    "timestamp": '"2026-02-10T10:00:00.000Z"',
}
FIELDS = {METER.name: METER_FIELDS, VEHICLE.name: VEHICLE_FIELDS}
OPTIONAL = ("voltage", "soc", "batteryTemp")
BOUNDS = {
    "kwhConsumedAc": (0.0, 10_000_000.0),
    "voltage": (0.0, 1_000.0),
    "soc": (0.0, 100.0),
    "kwhDeliveredDc": (0.0, 10_000_000.0),
    "batteryTemp": (-60.0, 150.0),
}


def spelled(fields: dict[str, str]) -> bytes:
    """Return a JSON object of these members, whose values are spelled as JSON."""
    return ("{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}").encode()


def enveloped(message: bytes, stream: Stream) -> bytes:
    """Return the message in the gateway's envelope."""
    return b'{"streamType":"%s","payload":%s}' % (stream.name.encode(), message)


def reading(stream: Stream, device: str, at_us: int, **fields: str) -> bytes:
    """Return a good message with these fields changed; their values are spelled as JSON."""
    known = {stream.id_field: f'"{device}"', "timestamp": f'"{format_timestamp(at_us)}"'}
    return spelled(FIELDS[stream.name] | known | fields)
