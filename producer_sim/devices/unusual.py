"""Other ways to write the same reading, all of them valid. Pure.

Every rewriting yields the same device, instant and doubles as the canonical form.
"""

import json
from collections.abc import Callable
from datetime import timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple

from producer_sim.devices.kinds import Kind, unusual
from producer_sim.devices.malformed import document
from producer_sim.devices.records import Record
from telemetry.decode import MAX_VALUE_BYTES
from telemetry.streams import STREAMS
from telemetry.timestamps import as_datetime

Rewrite = Callable[[Record], bytes]


class Unusual(NamedTuple):
    """One way to write a reading."""

    kind: Kind
    rewrite: Rewrite


def _dumps(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def _unknown_fields(record: Record) -> bytes:
    extra = {"firmware": {"version": [1, 2, {"beta": None}]}, "note": "Zähler \u2028 ok \x00"}
    return _dumps(extra | document(record))


def _repeated_field(record: Record) -> bytes:
    name = STREAMS[record.stream].fields[0]
    return f'{{"{name}":"not yet known",'.encode() + _dumps(document(record))[1:]


def _escaped(record: Record) -> bytes:
    fields = document(record)
    name = STREAMS[record.stream].id_field
    escaped_id = "".join(f"\\u{ord(letter):04x}" for letter in fields.pop(name))
    escaped_name = name.replace("I", "\\u0049")
    return f'{{"{escaped_name}":"{escaped_id}",'.encode() + _dumps(fields)[1:]


def _blanks(record: Record) -> bytes:
    backwards = dict(reversed(document(record).items()))
    return b"\r\n " + json.dumps(backwards, indent="\t").encode() + b"\n"


def _other_offset(record: Record) -> bytes:
    zone = timezone(timedelta(hours=5, minutes=30))
    local = as_datetime(record.recorded_at).astimezone(zone)
    return _dumps(document(record) | {"timestamp": local.isoformat(timespec="microseconds")})


def _lower_case(record: Record) -> bytes:
    fields = document(record)
    return _dumps(fields | {"timestamp": fields["timestamp"].lower()})


def _nanoseconds(record: Record) -> bytes:
    fields = document(record)
    return _dumps(fields | {"timestamp": fields["timestamp"].replace("Z", "000999Z")})


def _exponents(record: Record) -> bytes:
    return _with_numbers(record, lambda value: f"{Decimal(repr(value)):E}")


def _many_digits(record: Record) -> bytes:
    return _with_numbers(record, _padded_with_zeros)


def _padded_with_zeros(value: float) -> str:
    text = f"{Decimal(repr(value)):f}"
    return text + ("" if "." in text else ".") + "0" * 40


def _with_numbers(record: Record, write: Callable[[float], str]) -> bytes:
    text = _dumps(document(record)).decode()
    for name, value in zip(STREAMS[record.stream].fields, record.measures, strict=True):
        if value is None:
            continue
        text = text.replace(f'"{name}":{value!r}', f'"{name}":{write(value)}')
    return text.encode()


def _envelope(record: Record) -> bytes:
    return _dumps({"streamType": STREAMS[record.stream].name, "payload": document(record)})


def _largest(record: Record) -> bytes:
    """Fill the value up to the last byte that is accepted."""
    fields = document(record) | {"padding": ""}
    return _dumps(fields | {"padding": "x" * (MAX_VALUE_BYTES - len(_dumps(fields)))})


REWRITINGS = (
    Unusual(unusual("unknown_fields"), _unknown_fields),
    Unusual(unusual("repeated_field"), _repeated_field),
    Unusual(unusual("escaped"), _escaped),
    Unusual(unusual("blanks"), _blanks),
    Unusual(unusual("other_offset"), _other_offset),
    Unusual(unusual("lower_case"), _lower_case),
    Unusual(unusual("nanoseconds"), _nanoseconds),
    Unusual(unusual("exponents"), _exponents),
    Unusual(unusual("many_digits"), _many_digits),
    Unusual(unusual("largest"), _largest),
    Unusual(unusual("envelope"), _envelope),
)
NULL_KEY = unusual("null_key")
OTHER_KEY = unusual("other_key")
"""Both may land in another partition than the device's other readings."""
ABSENT = unusual("absent")
NULL = unusual("null")
"""Both are of a device that tells nothing but its energy."""


def untold(record: Record, kind: Kind) -> Record:
    """Return the reading less what a device may leave out: ABSENT, or NULL in its JSON."""
    stream = STREAMS[record.stream]
    measures = {
        name: measure if name == stream.energy_field else None
        for name, measure in zip(stream.fields, record.measures, strict=True)
    }
    untold = record._replace(kind=kind, measures=tuple(measures.values()))
    fields = document(untold) if kind is ABSENT else measures | document(untold)
    return untold._replace(value=_dumps(fields))
