"""A database in which the tests' worlds live."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.energy.worlds import Connection


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A session whose tables have the days in which the worlds live."""
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        for history in ("meter_history", "vehicle_history"):
            connection.execute(
                f"CREATE TABLE {history}_then PARTITION OF {history}"
                " FOR VALUES FROM ('2026-02-01Z') TO ('2026-04-01Z')"
            )
        connection.commit()
        yield connection
