"""How many statements it costs to find the rows that the database rejects."""

import math
import tempfile

import pytest

from consumer.flush.sink import Sink
from consumer.postgres.connection import Connection
from tests.integration.conftest import flush_of, meter_value

ROWS = 1_024
# A savepoint and a COPY under another, each of them ended or rolled back, and the upsert.
STATEMENTS_A_TRY = 8


@pytest.mark.parametrize("bad", [1, 3, 10])
async def test_k_bad_rows_of_n_take_k_log_n_statements(
    sink: Sink, connection: Connection, bad: int
) -> None:
    await connection.execute(
        "ALTER TABLE meter_history ADD CONSTRAINT house_rule CHECK (kwh_consumed_ac < 100)"
    )
    await sink.flush(flush_of([meter_value("mtr-first")]))  # connects, and makes the partition
    places = {(2 * place + 1) * ROWS // (2 * bad) for place in range(bad)}  # far apart: the worst
    values = [
        meter_value(f"mtr-{place:04}", kwh=500 if place in places else 1) for place in range(ROWS)
    ]
    used = await sink._connection.get()
    with tempfile.TemporaryFile("w+") as trace:
        used.pgconn.trace(trace.fileno())
        outcome = await sink.flush(flush_of(values, believed=1))
        used.pgconn.untrace()
        trace.seek(0)
        statements = sum("\tQuery\t" in line or "\tExecute\t" in line for line in trace)
    assert (outcome.stored, len(outcome.dead_letters)) == (ROWS - bad, bad)
    # Of each level of the tree of halves, a bad row costs two tries at most.
    assert statements <= STATEMENTS_A_TRY * 2 * bad * math.log2(ROWS)
