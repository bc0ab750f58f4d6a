"""What PostgreSQL's binary formats have in common. Pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# PostgreSQL counts microseconds from 2000-01-01 UTC.
POSTGRES_EPOCH_US = 946_684_800_000_000

# A field is its length and its value; that of a NULL is this length and no value.
NULL_LENGTH = -1
DOUBLE = np.dtype([("length", ">i4"), ("value", ">f8")])


def doubles(values: NDArray[np.float64], out: NDArray[Any]) -> NDArray[np.bool_]:
    """Write float64 values into fields of the same shape; return which are NULL: those of NaN."""
    nulls: NDArray[np.bool_] = np.isnan(values)
    out["length"], out["value"] = np.where(nulls, NULL_LENGTH, out.dtype["value"].itemsize), values
    return nulls


def without_nulls(rows: NDArray[Any], nulls: NDArray[np.bool_]) -> bytes:
    """Return the bytes of n rows that end with m doubles; `nulls` (n, m) have no value."""
    if not nulls.any():
        return rows.tobytes()
    written = rows.view(np.uint8).reshape(len(rows), rows.itemsize)
    kept = np.ones_like(written, np.bool_)
    doubles_begin = rows.itemsize - nulls.shape[1] * DOUBLE.itemsize
    for column, is_null in enumerate(nulls.T):
        end = doubles_begin + (column + 1) * DOUBLE.itemsize
        kept[is_null, end - DOUBLE["value"].itemsize : end] = False
    return written[kept].tobytes()
