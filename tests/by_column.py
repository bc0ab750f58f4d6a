"""Records that a test has as rows, by column."""

from collections.abc import Iterable

from consumer.records import Record, Records


def by_column(rows: Iterable[Record]) -> Records:
    records = Records()
    for row in rows:
        headers = {0: row.headers} if row.headers else {}
        records.extend(Records([row.offset], [row.timestamp_ms], [row.key], [row.value], headers))
    return records
