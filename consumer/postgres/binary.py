"""PostgreSQL's binary format: numpy arrays as the rows of a COPY, and as parameters. Pure.

A field is its length in bytes and its value; NULL has the length -1 and no value. Numbers are
big-endian. psycopg writes the same bytes element by element (4 µs a time, 1 µs a number); here a
few numpy operations write all of them. NaN stands for NULL throughout.
"""

import struct
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from psycopg import postgres
from psycopg.abc import DumperKey
from psycopg.adapt import Dumper, PyFormat
from psycopg.pq import Format
from psycopg.types import TypeInfo

from runtime.postgres.arrays import POSTGRES_EPOCH_US

_NULL_LENGTH = -1
_DOUBLE = np.dtype([("length", ">i4"), ("value", ">f8")])

# See "Binary Format" under "COPY" in PostgreSQL's manual: a signature, then for each row the count
# of its fields and the fields, then a trailer.
_SIGNATURE = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"


def copy_data(blocks: Iterable[bytes]) -> bytes:
    """Return the data of a COPY; `blocks` are what `copy_rows` returns."""
    return b"".join([_SIGNATURE, *blocks, _TRAILER])


def copy_rows(
    texts: NDArray[np.bytes_], times: NDArray[np.int64], measures: NDArray[np.float64]
) -> bytes:
    """Return n rows of a COPY, each a text, a timestamptz and m doubles.

    `texts` (n) are UTF-8 and all as long as their dtype says, `times` (n) are microseconds since
    1970 UTC, `measures` are (n, m).
    """
    layout: list[Any] = [
        ("fields", ">i2"),
        ("text_length", ">i4"),
        ("text", texts.dtype),
        ("time_length", ">i4"),
        ("time", ">i8"),
        ("measures", _DOUBLE, (measures.shape[1],)),
    ]
    rows = np.empty(len(texts), layout)
    rows["fields"] = 2 + measures.shape[1]
    rows["text_length"], rows["text"] = texts.itemsize, texts
    rows["time_length"], rows["time"] = times.itemsize, times - POSTGRES_EPOCH_US
    return _without_nulls(rows, _write_doubles(measures, rows["measures"]))


class ArrayDumper(Dumper):
    """Dumps an array (n) of float64, int32 or datetime64[us] in UTC; raises KeyError for others.

    See array_recv in PostgreSQL's src/backend/utils/adt/arrayfuncs.c for the format.
    """

    format = Format.BINARY
    _types: ClassVar = {np.float64: "float8", np.int32: "int4", np.datetime64: "timestamptz"}
    _element: TypeInfo

    def get_key(self, obj: NDArray[Any], format: PyFormat) -> DumperKey:  # noqa: A002, ARG002  psycopg's
        return (self.cls, obj.dtype.type)

    def upgrade(self, obj: NDArray[Any], format: PyFormat) -> "ArrayDumper":  # noqa: A002, ARG002
        dumper = ArrayDumper(self.cls)
        dumper._element = postgres.types[self._types[obj.dtype.type]]
        dumper.oid = dumper._element.array_oid
        return dumper

    def dump(self, obj: NDArray[Any]) -> bytes:
        if obj.dtype.type is np.datetime64:
            obj = obj.view(np.int64) - POSTGRES_EPOCH_US
        elements = np.empty(len(obj), [("length", ">i4"), ("value", obj.dtype.newbyteorder(">"))])
        nulls = np.zeros(len(obj), np.bool_)
        if obj.dtype.type is np.float64:
            nulls = _write_doubles(obj, elements)
        else:
            elements["length"], elements["value"] = obj.itemsize, obj
        dimensions = struct.pack(">ii", len(obj), 1) if len(obj) else b""
        return (
            struct.pack(">iiI", bool(dimensions), bool(nulls.any()), self._element.oid)
            + dimensions
            + _without_nulls(elements, nulls[:, np.newaxis])
        )


def _write_doubles(values: NDArray[np.float64], out: NDArray[Any]) -> NDArray[np.bool_]:
    """Write float64 values into fields of the same shape; return which of them are NULL."""
    nulls: NDArray[np.bool_] = np.isnan(values)
    out["length"], out["value"] = np.where(nulls, _NULL_LENGTH, values.itemsize), values
    return nulls


def _without_nulls(rows: NDArray[Any], nulls: NDArray[np.bool_]) -> bytes:
    """Return the bytes of n rows that end with m doubles, without the values of `nulls` (n, m)."""
    if not nulls.any():
        return rows.tobytes()
    written = rows.view(np.uint8).reshape(len(rows), rows.itemsize)
    kept = np.ones_like(written, np.bool_)
    doubles_begin = rows.itemsize - nulls.shape[1] * _DOUBLE.itemsize
    for column, is_null in enumerate(nulls.T):
        end = doubles_begin + (column + 1) * _DOUBLE.itemsize
        kept[is_null, end - _DOUBLE["value"].itemsize : end] = False
    return written[kept].tobytes()
