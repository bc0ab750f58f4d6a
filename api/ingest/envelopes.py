"""Bodies of the ingest paths → messages for Kafka, and what is wrong with the others. Pure.

A reading is kept as the bytes that came: what is stored later is what was sent. It is judged by
`telemetry.decode`, as the consumer will.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from api.ingest.elements import Container, NotSplit, containers
from api.ingest.producer import Message
from telemetry.decode import MAX_VALUE_BYTES, Rejected, TimeLimits, decode
from telemetry.foreign_bytes import name_foreign
from telemetry.json_text import MOST_LEVELS, is_too_deep, parse_json
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


# Where a body's arrays are left out, and have their numbers instead.
class _Batch(msgspec.Struct):
    data: list[int]


class _MixedBatch(msgspec.Struct):
    records: list[int]


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
_is_object = re.compile(rb"[ \t\r\n]*\{").match
# An envelope has its names beside the reading, and some space.
_MOST_BYTES = MAX_VALUE_BYTES + 1_024


def read_one(body: bytes, stream: Stream, limits: TimeLimits) -> Sorted:
    """Return what a body holds that is one reading of the stream."""
    found = Sorted()
    found.add(0, body, stream, limits)
    return found


def read_batch(body: bytes, stream: Stream, limits: TimeLimits) -> Sorted:
    """Return what `{"data": [reading, …]}` holds; raises NotAnEnvelope and TooMany."""
    found = Sorted()
    for index, value in enumerate(_items(body, _data, "data")):
        found.add(index, value, stream, limits)
    return found


def read_either(body: bytes, limits: TimeLimits) -> Sorted:
    """Return what a body holds that is a reading of either kind, or an envelope of one."""
    found = Sorted()
    _add_either(found, 0, body, limits)
    return found


def read_mixed(body: bytes, limits: TimeLimits) -> Sorted:
    """Return what `{"records": [either form, …]}` holds; raises NotAnEnvelope and TooMany."""
    found = Sorted()
    for index, value in enumerate(_items(body, _records, "records")):
        _add_either(found, index, value, limits)
    return found


def _data(body: str) -> list[int]:
    return _batch(body).data


def _records(body: str) -> list[int]:
    return _mixed_batch(body).records


def _items(body: bytes, read: Callable[[str], list[int]], name: str) -> list[bytes]:
    """Return the elements of the array of this name, each as it came, JSON or not.

    What is around them is JSON.
    """
    try:
        found = containers(body, most=MOST_READINGS) if _is_object(body) else []
        [number] = read(_without(body, found).decode())
        _check_beside(body, found, number)
        items = list(found[number].elements(body))
    except msgspec.ValidationError as error:
        raise NotAnEnvelope(str(error).split(" - ")[0], name) from error
    except (msgspec.DecodeError, ValueError) as error:  # UnicodeDecodeError is one, too
        said = str(error) if isinstance(error, NotSplit) else "is not JSON"
        raise NotAnEnvelope(name_foreign(body) or said, "body") from error
    if items == [b""]:
        raise NotAnEnvelope("holds no reading", name)
    if b"" in items:
        raise NotAnEnvelope("is not JSON", "body")
    return items


def _without(body: bytes, left_out: Sequence[Container]) -> bytes:
    """Return the body with a number in place of what each array holds, and objects empty."""
    parts, at = [], 0
    for number, one in enumerate(left_out):
        begin, end = body[one.begin : one.begin + 1], body[one.end - 1 : one.end]
        parts += [body[at : one.begin], begin, b"" if begin == b"{" else b"%d" % number, end]
        at = one.end
    return b"".join([*parts, body[at:]])


def _check_beside(body: bytes, found: Sequence[Container], number: int) -> None:
    """Raise ValueError where what is beside the array is not JSON, as deep and as large as any."""
    beside = [one for place, one in enumerate(found) if place != number]
    if sum(one.end - one.begin for one in beside) > MAX_VALUE_BYTES:
        raise NotSplit(f"has over {MAX_VALUE_BYTES} bytes beside the readings")
    for one in beside:
        text = body[one.begin : one.end].decode()
        if is_too_deep(text):
            raise NotSplit(f"is more than {MOST_LEVELS} levels deep")
        parse_json(text)


def _add_either(found: Sorted, index: int, value: bytes, limits: TimeLimits) -> None:
    if len(value) > _MOST_BYTES:
        found.add(index, value, METER, limits)  # which is told that it is too large
        return
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
