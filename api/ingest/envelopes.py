"""Readings and envelopes of readings → messages for Kafka, and what is refused. Pure.

A reading is kept as the bytes that came, so what is stored is what was sent. `telemetry.decode`
judges it, just as it will in the consumer.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from api.ingest.batches import elements
from api.ingest.gateway import Message
from telemetry.decode import MAX_VALUE_BYTES, Rejected, TimeLimits, decode
from telemetry.reasons import Reason
from telemetry.streams import METER, STREAMS, VEHICLE, Stream

BY_NAME = {stream.name: stream for stream in STREAMS}

Raw = msgspec.Raw


class Foreign(NamedTuple):
    """Why a reading of a device that is not the client's is refused; in the form of Rejected."""

    reason: str
    detail: str
    field: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An element that is not a reading, or not one that the client may send, and its place."""

    index: int
    rejected: Rejected | Foreign


@dataclass(slots=True)
class Sorted:
    """What a request holds: messages to send, and elements that are refused.

    With prefixes, only readings of devices whose ids begin with one of them are taken.
    """

    prefixes: tuple[str, ...] = ()
    messages: list[Message] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    @property
    def are_all_foreign(self) -> bool:
        """Return whether each is a reading, but of a device that is not the client's."""
        return not self.messages and all(isinstance(one.rejected, Foreign) for one in self.refused)

    def add(self, index: int, value: bytes, stream: Stream, limits: TimeLimits) -> None:
        """Add an element that should be a reading of the stream."""
        reading = decode(value, stream, limits)
        if isinstance(reading, Rejected):
            self.refuse(index, reading)
        elif self.prefixes and not reading.device_id.startswith(self.prefixes):
            detail = f"{stream.name} {reading.device_id} is not a device of this client"
            self.refuse(index, Foreign("foreign_device", detail, stream.id_field))
        else:
            self.messages.append(Message(stream.topic, reading.device_id.encode(), value))

    def refuse(self, index: int, rejected: Rejected | Foreign) -> None:
        """Add an element that is not taken."""
        self.refused.append(Refused(index, rejected))


# The fields that tell an envelope from a reading (see `telemetry.envelope`), and the two kinds of
# reading from each other.
class _Form(msgspec.Struct, rename="camel"):
    stream_type: Raw = Raw()
    payload: Raw = Raw()
    meter_id: Raw = Raw()
    vehicle_id: Raw = Raw()


_form = msgspec.json.Decoder(_Form).decode
_text = msgspec.json.Decoder(str).decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
# An envelope has names and some space besides its reading.
_MOST_BYTES = MAX_VALUE_BYTES + 1_024


def read_one(
    body: bytes, stream: Stream, limits: TimeLimits, prefixes: tuple[str, ...] = ()
) -> Sorted:
    """Sort a body that is one reading of the stream."""
    found = Sorted(prefixes)
    found.add(0, body, stream, limits)
    return found


def read_batch(
    body: bytes, stream: Stream, limits: TimeLimits, prefixes: tuple[str, ...] = ()
) -> Sorted:
    """Sort a body `{"data": [reading, …]}`; raises NotABatch and TooMany."""
    found = Sorted(prefixes)
    for index, value in enumerate(elements(body, "data")):
        found.add(index, value, stream, limits)
    return found


def read_either(body: bytes, limits: TimeLimits, prefixes: tuple[str, ...] = ()) -> Sorted:
    """Sort a body that is a reading of either kind, or an envelope of one."""
    found = Sorted(prefixes)
    _add_either(found, 0, body, limits)
    return found


def read_mixed(body: bytes, limits: TimeLimits, prefixes: tuple[str, ...] = ()) -> Sorted:
    """Sort a body `{"records": [either form, …]}`; raises NotABatch and TooMany."""
    found = Sorted(prefixes)
    for index, value in enumerate(elements(body, "records")):
        _add_either(found, index, value, limits)
    return found


def _add_either(found: Sorted, index: int, value: bytes, limits: TimeLimits) -> None:
    if len(value) > _MOST_BYTES:
        found.add(index, value, METER, limits)  # `decode` says that it is too large
        return
    try:
        form = _form(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # It is not a reading of either kind: `decode` says why.
        found.add(index, value, METER, limits)
        return
    if bytes(form.meter_id):
        found.add(index, value, METER, limits)
    elif bytes(form.vehicle_id):
        found.add(index, value, VEHICLE, limits)
    elif bytes(form.stream_type) or bytes(form.payload):
        stream = _stream_of(form)
        if isinstance(stream, Rejected):
            found.refuse(index, stream)
        else:
            found.add(index, bytes(form.payload), stream, limits)
    else:
        found.refuse(index, _nameless(value, limits))


def _stream_of(form: _Form) -> Stream | Rejected:
    """Return the stream that an envelope names, or what is wrong with the envelope."""
    for name, raw in (("payload", form.payload), ("streamType", form.stream_type)):
        if not bytes(raw):
            return Rejected(Reason.MISSING_FIELD, f"{name}: Field required", name)
    try:
        return BY_NAME[_text(bytes(form.stream_type))]
    except (msgspec.DecodeError, KeyError):
        return Rejected(
            Reason.WRONG_TYPE, 'streamType: should be "meter" or "vehicle"', "streamType"
        )


def _nameless(value: bytes, limits: TimeLimits) -> Rejected:
    """Return what is wrong with an object that is not an envelope and names no device."""
    of_meter, of_vehicle = decode(value, METER, limits), decode(value, VEHICLE, limits)
    # Every reading has an id.
    assert isinstance(of_meter, Rejected)  # noqa: S101
    assert isinstance(of_vehicle, Rejected)  # noqa: S101
    # Any other reason, such as that it is not strict JSON, holds for both kinds.
    if of_meter.reason is not Reason.MISSING_FIELD:
        return of_meter
    names = _fields(value).keys()
    if not names.isdisjoint(METER.fields):
        return of_meter
    if not names.isdisjoint(VEHICLE.fields):
        return of_vehicle
    return of_meter._replace(field=None)  # either id would do
