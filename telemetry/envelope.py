"""The gateway's envelope: `{"streamType": "meter"|"vehicle", "payload": {reading}}`. Pure."""

from collections.abc import Container

from telemetry.streams import STREAMS

STREAM_TYPE, PAYLOAD = "streamType", "payload"


def is_envelope(names: Container[str]) -> bool:
    """Return whether an object with these names is an envelope, even one that lacks a field.

    A reading may have any other fields, so an object with a device's id is a reading.
    """
    return (STREAM_TYPE in names or PAYLOAD in names) and not any(
        stream.id_field in names for stream in STREAMS
    )
