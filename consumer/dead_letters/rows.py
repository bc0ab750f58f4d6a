"""Dead letters as a flush writes them: whole if small, or while an hour's allowance lasts.

A few kilobytes in Kafka may be hundreds of megabytes once they are unpacked, and a producer may
send them again and again. So only a limited number of large letters of one reason, topic and hour
are kept whole. Of the others the beginning, the sizes and a digest are kept. Kafka still has them
whole, at the place that the row names, for as long as its own retention lasts.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import accumulate, takewhile
from typing import NamedTuple

from psycopg.types.json import Jsonb

from consumer.dead_letters.allowance import Allowance, Spent
from consumer.dead_letters.headers import StoredHeader, stored, stored_bytes
from consumer.dead_letters.letter import DeadLetter
from consumer.kafka.records import Record
from consumer.postgres.connection import Connection
from consumer.postgres.statements import statement
from telemetry.reasons import Reason
from telemetry.timestamps import as_datetime

KEPT_BYTES = 1_024
"""Of a key, of a value, and of all headers. A letter without more in any of them is never cut."""
_LAST_MS = 253_402_300_799_999  # the end of year 9999


class Place(NamedTuple):
    """The group whose letters they are, and the topic and partition that they came from."""

    consumer_group: str
    topic: str
    partition: int

    def parameters(self) -> dict[str, object]:
        return self._asdict()


@dataclass(slots=True)
class Row:
    """A dead letter as it is written; the sizes and the digest are None while it is whole."""

    offset: int
    timestamp: datetime | None
    reason: Reason
    detail: str
    key: bytes | None
    value: bytes | None
    headers: list[StoredHeader]
    key_bytes: int | None = None
    value_bytes: int | None = None
    value_sha256: bytes | None = None
    header_count: int | None = None
    is_whole: bool = True

    @classmethod
    def of(cls, record: Record, letter: DeadLetter) -> "Row":
        return cls(
            offset=record.offset,
            timestamp=_record_time(record),
            reason=letter.reason,
            detail=letter.detail,
            key=record.key,
            value=record.value,
            headers=stored(record.headers),
        )

    @property
    def _sizes(self) -> tuple[int, int, int]:
        return len(self.key or b""), len(self.value or b""), sum(map(stored_bytes, self.headers))

    @property
    def size(self) -> int:
        return sum(self._sizes)

    @property
    def is_large(self) -> bool:
        return max(self._sizes) > KEPT_BYTES

    def cut(self) -> None:
        """Keep the beginning only, and the sizes and digest of what there was."""
        if self.key is not None:
            self.key_bytes, self.key = len(self.key), self.key[:KEPT_BYTES]
        if self.value is not None:
            self.value_bytes, self.value_sha256 = len(self.value), sha256(self.value).digest()
            self.value = self.value[:KEPT_BYTES]
        self.header_count = len(self.headers)
        ends = accumulate(map(stored_bytes, self.headers))
        kept = sum(1 for _ in takewhile(lambda end: end <= KEPT_BYTES, ends))
        self.headers = self.headers[:kept]
        self.is_whole = False


async def insert(
    connection: Connection, place: Place, rows: list[Row], allowance: Allowance
) -> Counter[Reason]:
    """Write the letters in the transaction of their batch; return how many were cut, by reason."""
    if allowance.is_bounded:
        await _fit(connection, place, [row for row in rows if row.is_large], allowance)
    await connection.execute(
        statement("insert_dead_letters"),
        {
            **place.parameters(),
            "offsets": [row.offset for row in rows],
            "keys": [row.key for row in rows],
            "values": [row.value for row in rows],
            "headers": [Jsonb(row.headers) for row in rows],
            "timestamps": [row.timestamp for row in rows],
            "reasons": [row.reason.value for row in rows],
            "details": [row.detail for row in rows],
            "wholes": [row.is_whole for row in rows],
            "key_sizes": [row.key_bytes for row in rows],
            "value_sizes": [row.value_bytes for row in rows],
            "digests": [row.value_sha256 for row in rows],
            "header_counts": [row.header_count for row in rows],
        },
    )
    return Counter(row.reason for row in rows if not row.is_whole)


async def _fit(
    connection: Connection, place: Place, large: list[Row], allowance: Allowance
) -> None:
    """Cut the letters that this hour's allowances do not admit; note what the others spend."""
    if not large:
        return
    reasons = sorted({row.reason for row in large})
    cursor = await connection.execute(
        statement("read_allowance"), {**place.parameters(), "reasons": reasons}
    )
    before = {Reason(reason): Spent(*spent) async for reason, *spent in cursor}
    spending, over = share(large, before, allowance)
    if over:
        await asyncio.to_thread(_cut, over)  # digests of many megabytes would block the loop
    if spending:
        await connection.execute(
            statement("spend_allowance"),
            {
                **place.parameters(),
                "reasons": list(spending),
                "letters": [spent.letters for spent in spending.values()],
                "bytes": [spent.bytes for spent in spending.values()],
            },
        )


def share(
    large: Iterable[Row], before: dict[Reason, Spent], allowance: Allowance
) -> tuple[dict[Reason, Spent], list[Row]]:
    """Return what the admitted letters spend, by reason, and those that are not admitted."""
    spending: dict[Reason, Spent] = {}
    over = []
    for row in large:
        more = spending.get(row.reason, Spent()).plus(Spent(1, row.size))
        if allowance.admits(before.get(row.reason, Spent()).plus(more)):
            spending[row.reason] = more
        else:
            over.append(row)
    return spending, over


def _cut(rows: list[Row]) -> None:
    for row in rows:
        row.cut()


def _record_time(record: Record) -> datetime | None:
    """Return the record's time; None if it has none, or one past the year 9999."""
    if not 0 <= record.timestamp_ms <= _LAST_MS:
        return None
    return as_datetime(record.timestamp_ms * 1_000)
