"""Arrays of PostgreSQL as numpy arrays: without an object for each element."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import AsyncConnection, Connection
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format

# PostgreSQL counts microseconds from 2000-01-01 UTC.
POSTGRES_EPOCH_US = 946_684_800_000_000

_HEAD_BYTES = 20
_DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype([("length", ">i4"), ("value", value)])
    for name, value in (("float8", ">f8"), ("timestamptz", ">i8"), ("int8", ">i8"))
}


class _ArrayLoader(Loader):
    """Loads an array of one dimension and without NULL, in the binary format (array_send)."""

    format = Format.BINARY
    element: str

    def load(self, data: Buffer) -> NDArray[Any]:
        # Without elements there is no dimension, and the head is shorter.
        elements = np.frombuffer(data, _DTYPES[self.element], offset=min(_HEAD_BYTES, len(data)))
        value: NDArray[Any] = elements["value"].astype(elements["value"].dtype.newbyteorder("="))
        return value + POSTGRES_EPOCH_US if self.element == "timestamptz" else value


def load_arrays(connection: AsyncConnection[Any] | Connection[Any]) -> None:
    """Let a connection's binary cursors load arrays of numbers and times as numpy arrays.

    Times become microseconds since 1970 UTC (int64).
    """
    for element in _DTYPES:
        loader = type(f"{element}Loader", (_ArrayLoader,), {"element": element})
        # By its number: the name would be taken for the element's.
        oid = connection.adapters.types.get_oid(f"{element}[]")
        connection.adapters.register_loader(oid, loader)
