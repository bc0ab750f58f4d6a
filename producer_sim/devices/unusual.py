"""Other valid forms of the same reading. Pure.

Every form has the same device, time and measures as the canonical form.
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
    """One form of a reading."""

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
    """Return a value of the largest size that is accepted."""
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
"""Both may go to another partition than the device's other readings."""
ABSENT = unusual("absent")
NULL = unusual("null")
"""Both are from a device that sends only its energy."""


def energy_only(record: Record, kind: Kind) -> Record:
    """Return the reading with its energy only; other measures are left out (ABSENT) or null."""
    stream = STREAMS[record.stream]
    measures = {
        name: measure if name == stream.energy_field else None
        for name, measure in zip(stream.fields, record.measures, strict=True)
    }
    reduced = record._replace(kind=kind, measures=tuple(measures.values()))
    fields = document(reduced) if kind is ABSENT else measures | document(reduced)
    return reduced._replace(value=_dumps(fields))
