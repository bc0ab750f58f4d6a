"""Arrays arrive in PostgreSQL as the lists of the same elements do."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from consumer.postgres.database import Database
from telemetry.timestamps import as_datetime

FLOATS = np.array([0.0, -0.0, 0.1, -1e-308, 1.7976931348623157e308, np.inf])
INSTANTS = np.array([946_684_799_999_999, 1_770_717_600_000_001, 253_402_300_799_999_999])


@pytest.mark.parametrize(
    ("kind", "array", "expected"),
    [
        ("float8", FLOATS, FLOATS.tolist()),
        ("float8", np.arange(12.0).reshape(4, 3)[:, 1], [1.0, 4.0, 7.0, 10.0]),
        ("float8", np.array([]), []),
        ("float8", np.array([np.nan, 1.5, np.nan, -0.0]), [None, 1.5, None, -0.0]),
        ("float8", np.array([np.nan]), [None]),
        ("int4", np.array([-(2**31), 0, 2**31 - 1], np.int32), [-(2**31), 0, 2**31 - 1]),
        ("timestamptz", INSTANTS.view("datetime64[us]"), [*map(as_datetime, INSTANTS.tolist())]),
    ],
)
async def test_an_array_is_what_the_list_is(
    database: Database, kind: str, array: NDArray[Any], expected: list[object]
) -> None:
    async with database.connection() as connection:
        cursor = await connection.execute(f"SELECT %b, %b::{kind}[]", [array, array])
        assert repr(await cursor.fetchone()) == repr((expected, expected))


async def test_what_has_no_type_in_postgresql_is_refused(database: Database) -> None:
    async with database.connection() as connection:
        with pytest.raises(KeyError):
            await connection.execute("SELECT %b", [np.array([1j])])
