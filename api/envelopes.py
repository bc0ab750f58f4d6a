"""Bodies of the ingest paths → messages for Kafka, and what is wrong with the others. Pure.

A reading is kept as the bytes that came: what is stored later is what was sent. It is judged by
`telemetry.decode`, as the consumer will.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from api.producer import Message
from telemetry.decode import Rejected, TimeLimits, decode
from telemetry.foreign_bytes import name_foreign
from telemetry.reasons import Reason
from telemetry.streams import METER, STREAMS, VEHICLE, Stream

MOST_READINGS = 5_000
BY_NAME = {stream.name: stream for stream in STREAMS}

Raw = msgspec.Raw


class NotAnEnvelope(ValueError):  # noqa: N818  what the body is
    """The body is not of the form that its path takes; `field` is what is wrong with it."""

    def __init__(self, detail: str, field: str) -> None:
        super().__init__(detail)
        self.field = field


class TooMany(ValueError):  # noqa: N818  likewise
    """More readings than one request may hold."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A reading that is none, by its place in the request."""

    index: int
    rejected: Rejected


@dataclass(slots=True)
class Sorted:
    """What a request holds: messages to be sent, and what is refused."""

    messages: list[Message] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    def add(self, index: int, value: bytes, stream: Stream, limits: TimeLimits) -> None:
        reading = decode(value, stream, limits)
        if isinstance(reading, Rejected):
            self.refused.append(Refused(index, reading))
        else:
            self.messages.append(Message(stream.topic, reading.device_id.encode(), value))


class _Batch(msgspec.Struct):
    data: list[Raw]


class _MixedBatch(msgspec.Struct):
    records: list[Raw]


# What tells the envelope from a reading (as `telemetry.envelope` has it), and the two kinds of
# reading from each other.
class _Form(msgspec.Struct, rename="camel"):
    stream_type: Raw = Raw()
    payload: Raw = Raw()
    meter_id: Raw = Raw()
    vehicle_id: Raw = Raw()


_batch = msgspec.json.Decoder(_Batch).decode
_mixed_batch = msgspec.json.Decoder(_MixedBatch).decode
_form = msgspec.json.Decoder(_Form).decode
_text = msgspec.json.Decoder(str).decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode


def read_one(body: bytes, stream: Stream, limits: TimeLimits) -> Sorted:
    """Return what a body holds that is one reading of the stream."""
    found = Sorted()
    found.add(0, body, stream, limits)
    return found


def read_batch(body: bytes, stream: Stream, limits: TimeLimits) -> Sorted:
    """Return what `{"data": [reading, …]}` holds; raises NotAnEnvelope and TooMany."""
    found = Sorted()
    for index, raw in enumerate(_items(body, _data, "data")):
        found.add(index, bytes(raw), stream, limits)
    return found


def read_either(body: bytes, limits: TimeLimits) -> Sorted:
    """Return what a body holds that is a reading of either kind, or an envelope of one."""
    found = Sorted()
    _add_either(found, 0, body, limits)
    return found


def read_mixed(body: bytes, limits: TimeLimits) -> Sorted:
    """Return what `{"records": [either form, …]}` holds; raises NotAnEnvelope and TooMany."""
    found = Sorted()
    for index, raw in enumerate(_items(body, _records, "records")):
        _add_either(found, index, bytes(raw), limits)
    return found


def _data(body: bytes) -> list[Raw]:
    return _batch(body).data


def _records(body: bytes) -> list[Raw]:
    return _mixed_batch(body).records


def _items(body: bytes, read: Callable[[bytes], list[Raw]], name: str) -> Iterator[Any]:
    try:
        items = read(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = str(error).split(" - ")[0] if isinstance(error, msgspec.ValidationError) else ""
        if not detail:
            raise NotAnEnvelope(name_foreign(body) or "is not JSON", "body") from error
        raise NotAnEnvelope(detail, name) from error
    if not items:
        raise NotAnEnvelope("holds no reading", name)
    if len(items) > MOST_READINGS:
        raise TooMany(f"{len(items)} readings; at most {MOST_READINGS} in a request")
    return iter(items)


def _add_either(found: Sorted, index: int, value: bytes, limits: TimeLimits) -> None:
    try:
        form = _form(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Whatever it is, it is no reading of either kind: the definition says why.
        found.add(index, value, METER, limits)
        return
    if not any(map(bytes, msgspec.structs.astuple(form))):
        found.refused.append(Refused(index, _nameless(value, limits)))
        return
    named, payload = bytes(form.stream_type), bytes(form.payload)
    has_id = bool(bytes(form.meter_id) or bytes(form.vehicle_id))
    if has_id:
        is_vehicle = bool(bytes(form.vehicle_id)) and not bytes(form.meter_id)
        found.add(index, value, VEHICLE if is_vehicle else METER, limits)
        return
    if not named or not payload:
        missing = "streamType" if payload else "payload"
        fault = Rejected(Reason.MISSING_FIELD, f"{missing}: Field required", missing)
        found.refused.append(Refused(index, fault))
        return
    try:
        stream = BY_NAME[_text(named)]
    except (msgspec.DecodeError, KeyError):
        fault = Rejected(
            Reason.WRONG_TYPE, 'streamType: should be "meter" or "vehicle"', "streamType"
        )
        found.refused.append(Refused(index, fault))
        return
    found.add(index, payload, stream, limits)


def _nameless(value: bytes, limits: TimeLimits) -> Rejected:
    """Return what is wrong with an object that is no envelope and names no device."""
    of_meter, of_vehicle = decode(value, METER, limits), decode(value, VEHICLE, limits)
    # No reading is without an id.
    assert isinstance(of_meter, Rejected)  # noqa: S101
    assert isinstance(of_vehicle, Rejected)  # noqa: S101
    # Any other reason holds for both kinds: that it is not JSON by the letter, say.
    if of_meter.reason is not Reason.MISSING_FIELD:
        return of_meter
    names = _fields(value).keys()
    if not names.isdisjoint(METER.fields):
        return of_meter
    if not names.isdisjoint(VEHICLE.fields):
        return of_vehicle
    return of_meter._replace(field=None)  # neither id is missing more than the other
