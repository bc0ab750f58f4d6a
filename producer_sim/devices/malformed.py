"""Values that are not readings: at least one for every reason that a producer can cause. Pure."""

import gzip
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from producer_sim.devices.kinds import Kind, malformed
from producer_sim.devices.messages import canonical
from producer_sim.devices.records import Record
from telemetry.decode import MAX_VALUE_BYTES
from telemetry.reasons import Reason
from telemetry.streams import STREAMS

Spoil = Callable[[Record], bytes | None]


class Malformed(NamedTuple):
    """One way to spoil a reading; `spoil` makes the value that is sent in the reading's place."""

    kind: Kind
    spoil: Spoil


def document(record: Record) -> dict[str, Any]:
    """Return the reading as a JSON object."""
    parsed: dict[str, Any] = json.loads(_good(record))
    return parsed


def _good(record: Record) -> bytes:
    stream = STREAMS[record.stream]
    return canonical(stream, record.device_id, record.measures, record.recorded_at)


def _dumps(fields: object) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def _bytes(name: str, reason: Reason, value: bytes | None) -> Malformed:
    return Malformed(malformed(name, reason), lambda _: value)


def _text(name: str, spoil: Callable[[bytes], bytes]) -> Malformed:
    """Return a way that damages the bytes of a good value, so that they are not JSON."""
    return Malformed(malformed(name, Reason.MALFORMED_JSON), lambda record: spoil(_good(record)))


def _measure(name: str, reason: Reason, literal: str) -> Malformed:
    """Return a way that replaces the energy of a good value by this JSON literal."""

    def spoil(record: Record) -> bytes:
        fields = document(record) | {STREAMS[record.stream].energy_field: "@"}
        return _dumps(fields).replace(b'"@"', literal.encode(), 1)

    return Malformed(malformed(name, reason), spoil)


def _device(name: str, device_id: object, reason: Reason = Reason.INVALID_DEVICE_ID) -> Malformed:
    def spoil(record: Record) -> bytes:
        return _dumps(document(record) | {STREAMS[record.stream].id_field: device_id})

    return Malformed(malformed(name, reason), spoil)


def _timestamp(
    name: str, timestamp: object, reason: Reason = Reason.INVALID_TIMESTAMP
) -> Malformed:
    def spoil(record: Record) -> bytes:
        return _dumps(document(record) | {"timestamp": timestamp})

    return Malformed(malformed(name, reason), spoil)


def _without(name: str, which: Callable[[Record], str]) -> Malformed:
    def spoil(record: Record) -> bytes:
        return _dumps({k: v for k, v in document(record).items() if k != which(record)})

    return Malformed(malformed(name, Reason.MISSING_FIELD), spoil)


def _padded(record: Record) -> bytes:
    return _dumps(document(record) | {"padding": "x" * MAX_VALUE_BYTES})


MALFORMED = (
    _bytes("null", Reason.EMPTY_VALUE, None),
    _bytes("no_bytes", Reason.EMPTY_VALUE, b""),
    Malformed(malformed("padded", Reason.OVERSIZED), _padded),
    _text("truncated", lambda good: good[: len(good) // 2]),
    _text("two_documents", lambda good: good + good),
    _text("utf_16", lambda good: good.decode().encode("utf-16")),
    _text("byte_order_mark", lambda good: b"\xef\xbb\xbf" + good),
    _text("bad_utf_8", lambda good: good.replace(b"Z", b"\xff")),
    _text("gzip", lambda good: gzip.compress(good, mtime=0)),
    _text("schema_registry_prefix", lambda good: b"\x00\x00\x00\x00\x2a" + good),
    _text("single_quotes", lambda good: good.replace(b'"', b"'")),
    _text("trailing_comma", lambda good: good[:-1] + b",}"),
    _bytes("blanks", Reason.MALFORMED_JSON, b" \t\r\n"),
    _bytes("nul", Reason.MALFORMED_JSON, b"\x00"),
    _bytes("unclosed", Reason.MALFORMED_JSON, b"[" * 50_000),
    _measure("nan", Reason.MALFORMED_JSON, "NaN"),
    _measure("infinity", Reason.MALFORMED_JSON, "-Infinity"),
    _measure("leading_zero", Reason.MALFORMED_JSON, "007"),
    _bytes("null_literal", Reason.NOT_AN_OBJECT, b"null"),
    _bytes("number", Reason.NOT_AN_OBJECT, b"42"),
    _bytes("string", Reason.NOT_AN_OBJECT, b'"reading"'),
    Malformed(malformed("array", Reason.NOT_AN_OBJECT), lambda record: b"[" + _good(record) + b"]"),
    _bytes("empty_object", Reason.MISSING_FIELD, b"{}"),
    _without("no_timestamp", lambda _: "timestamp"),
    _without("no_device", lambda record: STREAMS[record.stream].id_field),
    _without("no_measure", lambda record: STREAMS[record.stream].energy_field),
    _measure("number_in_quotes", Reason.WRONG_TYPE, '"12.5"'),
    _measure("true", Reason.WRONG_TYPE, "true"),
    _measure("null_measure", Reason.WRONG_TYPE, "null"),
    _device("device_number", 42, Reason.WRONG_TYPE),
    _timestamp("epoch_number", 1_770_717_600, Reason.WRONG_TYPE),
    _device("device_empty", ""),
    _device("device_blank", "mtr 00042"),
    _device("device_nul", "mtr-\x00"),
    _device("device_surrogate", "mtr-\ud800"),
    _device("device_lookalike", "mtr-\u0430"),
    _device("device_formula", "=1+1"),
    _device("device_long", "m" * 65),
    _measure("negative", Reason.OUT_OF_RANGE, "-1"),
    _measure("too_large", Reason.OUT_OF_RANGE, "10000001"),
    _measure("overflow", Reason.OUT_OF_RANGE, "1e400"),
    _measure("digits", Reason.OUT_OF_RANGE, "9" * 5_000),
    _timestamp("february_30", "2026-02-30T10:00:00Z"),
    _timestamp("second_60", "2026-06-30T23:59:60Z"),
    _timestamp("naive", "2026-02-10T10:00:00"),
    _timestamp("bare_date", "2026-02-10"),
    _timestamp("epoch_digits", "1770717600"),
    _timestamp("year_1970", "1970-01-01T00:00:00Z"),
    _timestamp("year_10000", "10000-01-01T00:00:00Z"),
    _timestamp("year_2099", "2099-12-31T23:59:59Z", Reason.FUTURE_TIMESTAMP),
    _timestamp("year_2001", "2001-01-01T00:00:00Z", Reason.TOO_OLD),
)
