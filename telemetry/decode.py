"""The value of a record → `Reading` or `Rejected`. Pure: time is an argument.

There are two ways. `explain` is the definition: it parses JSON strictly and validates it with the
pydantic model. The fast way reads plainly good values with msgspec in one pass, by a struct made
from that model, and leaves all others to `explain`; it returns what `explain` would return.

A reading may come in the gateway's envelope. That has a fast way of its own, so that plain
messages are read without a look at it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from annotated_types import Ge, Le
from pydantic import ValidationError

from telemetry.envelope import PAYLOAD, STREAM_TYPE, is_envelope
from telemetry.foreign_bytes import name_foreign
from telemetry.json_text import parse_json
from telemetry.readings import DEVICE_ID, Reading
from telemetry.reasons import PRECEDENCE, Reason
from telemetry.streams import STREAMS, Stream
from telemetry.timestamps import DAY_US, SECOND_US, parse_timestamp

MAX_VALUE_BYTES = 65_536
FUTURE_TOLERANCE_US = 5 * 60 * SECOND_US

_REASONS = {
    "missing": Reason.MISSING_FIELD,
    "float_type": Reason.WRONG_TYPE,
    "string_type": Reason.WRONG_TYPE,
    "string_unicode": Reason.INVALID_DEVICE_ID,
    "timestamp_type": Reason.WRONG_TYPE,
    "string_pattern_mismatch": Reason.INVALID_DEVICE_ID,
    "finite_number": Reason.OUT_OF_RANGE,
    "greater_than_equal": Reason.OUT_OF_RANGE,
    "less_than_equal": Reason.OUT_OF_RANGE,
    "timestamp_parsing": Reason.INVALID_TIMESTAMP,
}


class Rejected(NamedTuple):
    """Why a value is not a reading.

    `field` is the JSON name of the field at fault, if there is one. `detail` is one line for people
    that quotes nothing of the input.
    """

    reason: Reason
    detail: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """The earliest and the latest instant accepted, in microseconds since 1970 UTC."""

    earliest: int
    latest: int

    @classmethod
    def at(cls, now_us: int, *, retention_days: int) -> "TimeLimits":
        """Return the limits at this time: from the retention to 5 minutes ahead."""
        return cls(now_us - retention_days * DAY_US, now_us + FUTURE_TOLERANCE_US)


def decode(value: bytes | None, stream: Stream, limits: TimeLimits) -> Reading | Rejected:
    """Return the reading in the value, or the first reason why there is none."""
    if not value or len(value) > MAX_VALUE_BYTES:
        return explain(value, stream, limits)
    try:
        fields = msgspec.structs.astuple(QUICK_DECODERS[stream.name].plain(value))
        instant = parse_timestamp(fields[-1])
    except (msgspec.DecodeError, ValueError, RecursionError):
        return explain(value, stream, limits)
    device_id, measures = fields[0], fields[1:-1]
    if not limits.earliest <= instant <= limits.latest or not is_device_id(device_id):
        return explain(value, stream, limits)
    if 0.0 in measures and find_minus_zero(value):
        return explain(value, stream, limits)
    return Reading(device_id, instant, measures)


def explain(value: bytes | None, stream: Stream, limits: TimeLimits) -> Reading | Rejected:
    """Return the reading in the value, or the first reason why there is none: the definition."""
    if not value:
        return Rejected(Reason.EMPTY_VALUE, "the value is null" if value is None else "no bytes")
    if len(value) > MAX_VALUE_BYTES:
        return Rejected(Reason.OVERSIZED, f"{len(value)} bytes, at most {MAX_VALUE_BYTES}")
    try:
        document = parse_json(value.decode())
    except ValueError as error:  # also UnicodeDecodeError and JSONDecodeError
        foreign = name_foreign(value)
        detail = f"the value {foreign}" if foreign else _first_words(error)
        return Rejected(Reason.MALFORMED_JSON, detail)
    if isinstance(document, dict) and is_envelope(document):
        return _explain_envelope(document, stream, limits)
    return _explain_document(document, stream, limits)


def _explain_envelope(
    envelope: dict[str, object], stream: Stream, limits: TimeLimits
) -> Reading | Rejected:
    for name in (STREAM_TYPE, PAYLOAD):
        if name not in envelope:
            return Rejected(Reason.MISSING_FIELD, f"{name}: Field required", name)
    named = envelope[STREAM_TYPE]
    if named not in _STREAM_NAMES:
        names = " or ".join(f'"{name}"' for name in _STREAM_NAMES)
        return Rejected(Reason.WRONG_TYPE, f"{STREAM_TYPE}: should be {names}", STREAM_TYPE)
    if named != stream.name:
        detail = f"{STREAM_TYPE}: a {named}'s reading does not belong in {stream.topic}"
        return Rejected(Reason.WRONG_TYPE, detail, STREAM_TYPE)
    return _explain_document(envelope[PAYLOAD], stream, limits)


def _explain_document(document: object, stream: Stream, limits: TimeLimits) -> Reading | Rejected:
    if not isinstance(document, dict):
        return Rejected(Reason.NOT_AN_OBJECT, f"the value is a JSON {_kind(document)}")
    try:
        return _in_time(stream.message.model_validate(document).reading(), limits)
    except ValidationError as error:
        return _of_another_kind(document, stream) or _first_fault(error)


def _of_another_kind(document: dict[str, object], stream: Stream) -> Rejected | None:
    """Reject an object that has no field of the stream; return None if it has one."""
    kinds = [one for one in STREAMS if document.keys() & {one.id_field, *one.fields}]
    if stream in kinds:
        return None
    detail = "the value is neither a meter's nor a vehicle's reading"
    if kinds:
        detail = f"a {kinds[0].name}'s reading does not belong in {stream.topic}"
    return Rejected(Reason.MISSING_FIELD, detail, stream.id_field)


def _in_time(reading: Reading, limits: TimeLimits) -> Reading | Rejected:
    if reading.recorded_at > limits.latest:
        return Rejected(Reason.FUTURE_TIMESTAMP, "over 5 minutes ahead", "timestamp")
    if reading.recorded_at < limits.earliest:
        return Rejected(Reason.TOO_OLD, "older than the retention", "timestamp")
    return reading


def _first_fault(error: ValidationError) -> Rejected:
    faults = [
        Rejected(
            _REASONS[fault["type"]], f"{fault['loc'][0]}: {fault['msg']}", str(fault["loc"][0])
        )
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return min(faults, key=lambda fault: PRECEDENCE[fault.reason])


def _first_words(error: ValueError) -> str:
    """Return the parser's message without its quotation of the input."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    return str(error).split(":", 1)[0]


def _kind(document: object) -> str:
    names = {list: "array", str: "string", float: "number", bool: "literal"}
    return names.get(type(document), "null")


class QuickDecoders(NamedTuple):
    """Two decoders of a stream's messages, to a struct of the fields in order, with time as text.

    `plain` reads a message, `wrapped` one in an envelope. The struct is a good reading if id and
    time are valid and no zero is a -0. An error (msgspec.DecodeError, UnicodeDecodeError,
    RecursionError) means only that `explain` must decide. Unknown fields are refused, because
    msgspec skips their values without checking that they are JSON.
    """

    plain: Callable[[bytes], Any]
    wrapped: Callable[[bytes], Any]


def _quick_decoders(stream: Stream) -> QuickDecoders:
    kinds: dict[Any, Any] = {float: float, float | None: float, str: str, int: str}
    members: list[Any] = []
    for name, field in stream.message.model_fields.items():
        bounds = {
            type(bound).__name__.lower(): getattr(bound, type(bound).__name__.lower())
            for bound in field.metadata
            if isinstance(bound, Ge | Le)
        }
        kind: Any = kinds[field.annotation]
        bounded: Any = Annotated[kind, msgspec.Meta(**bounds)]
        members.append((name, bounded) if field.is_required() else (name, bounded | None, None))
    message = _struct(stream.message.__name__, members)
    envelope = _struct(
        f"{message.__name__}Envelope",
        [("stream_type", Literal[stream.name]), ("payload", message)],
    )
    payload = attrgetter("payload")
    unwrapped = msgspec.json.Decoder(envelope).decode
    return QuickDecoders(
        plain=msgspec.json.Decoder(message).decode,
        wrapped=lambda value: payload(unwrapped(value)),
    )


def _struct(name: str, members: list[Any]) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        name,
        members,
        rename="camel",
        forbid_unknown_fields=True,
        kw_only=True,  # lets an optional field come before a required one
        gc=False,
    )


QUICK_DECODERS = {stream.name: _quick_decoders(stream) for stream in STREAMS}
_STREAM_NAMES = tuple(stream.name for stream in STREAMS)
# msgspec reads the integer -0 as +0. Ids and times may contain "-0", but not before these.
find_minus_zero = re.compile(rb"-0[\s,}]").search
is_device_id = lru_cache(maxsize=32_768)(re.compile(DEVICE_ID, re.ASCII).fullmatch)
