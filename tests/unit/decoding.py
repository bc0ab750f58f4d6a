"""Decoding a message as these tests do it, and the good message that they change."""

from telemetry.decode import MAX_VALUE_BYTES, Rejected, decode, explain
from telemetry.readings import Reading
from telemetry.reasons import Reason
from telemetry.streams import METER, STREAMS, Stream
from tests.corpus.readings import (
    FIELDS,
    LIMITS,
    METER_FIELDS,
    NOW,
    OPTIONAL,
    spelled,
)
from tests.corpus.results import bits

METER_READING = Reading("mtr-00042", NOW, (0.913, 229.8))
VEHICLE_READING = Reading("veh-00042", NOW, (57.3, 0.842, 31.4))
MEASURES = [(stream, field) for stream in STREAMS for field in stream.fields]
UNTOLD = [(stream, field) for stream, field in MEASURES if field in OPTIONAL]


def meter(**fields: str) -> bytes:
    """Return a good meter message but for these fields, given as JSON spells their values."""
    return spelled(METER_FIELDS | fields)


def with_value(stream: Stream, field: str, value: str) -> bytes:
    return spelled(FIELDS[stream.name] | {field: value})


def meter_with(members: str) -> bytes:
    """Return a good meter message with these members besides, behind its own."""
    return meter()[:-1] + b"," + members.encode() + b"}"


def reason_of(value: bytes | None, stream: Stream = METER) -> Reason | None:
    result = decode(value, stream, LIMITS)
    return result.reason if isinstance(result, Rejected) else None


def check(value: bytes, stream: Stream) -> Reading | Rejected:
    """Decode the value, and make sure that the fast way and the exact way agree."""
    result = decode(value, stream, LIMITS)
    if 0 < len(value) <= MAX_VALUE_BYTES:
        assert bits(result) == bits(explain(value, stream, LIMITS)), value
    if isinstance(result, Rejected):
        assert result.detail.isprintable()
    return result


GOOD = meter()
