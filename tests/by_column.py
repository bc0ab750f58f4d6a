"""Rows of a test as records by column, and columns of readings as rows."""

import math
from collections.abc import Iterable

from consumer.flush.columns import Columns
from consumer.kafka.records import Record, Records
from telemetry.readings import Reading


def by_column(rows: Iterable[Record]) -> Records:
    records = Records()
    for row in rows:
        headers = {0: row.headers} if row.headers else {}
        records.extend(Records([row.offset], [row.timestamp_ms], [row.key], [row.value], headers))
    return records


def by_row(columns: Columns | None) -> list[Reading]:
    """Return the readings in the columns' order."""
    if columns is None:
        return []
    measures = [
        tuple(None if math.isnan(one) else one for one in row) for row in columns.measures.tolist()
    ]
    return list(map(Reading, columns.ids(), columns.times.tolist(), measures))
