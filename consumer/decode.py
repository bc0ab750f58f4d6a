"""The records of a batch → columns of readings, and dead letters. Pure.

This is the hot path, with one door: whatever makes it faster stays behind `decode_batch`, and
`telemetry.decode` stays the definition of what is a reading.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from consumer.batch import Record
from consumer.columns import Columns
from telemetry.decode import Rejected, TimeLimits, decode
from telemetry.readings import Reading
from telemetry.reasons import Reason
from telemetry.streams import Stream

STEP = 2_000


class DeadLetter(NamedTuple):
    """A record that is no reading: its place in the batch, the reason, one line of detail."""

    position: int
    reason: Reason
    detail: str


@dataclass(slots=True)
class Decoded:
    """What a batch holds; `columns` is None where no record is a reading."""

    columns: Columns | None = None
    dead_letters: list[DeadLetter] = field(default_factory=list)
    key_mismatches: int = 0


def decode_batch(
    records: Sequence[Record], stream: Stream, limits: TimeLimits, decoded: Decoded
) -> Iterator[None]:
    """Fill `decoded` from the records, a step at a time.

    Yields between steps, so that an event loop can see to its other work.
    """
    readings: list[Reading] = []
    positions: list[int] = []
    for start in range(0, len(records), STEP):
        for position, record in enumerate(records[start : start + STEP], start):
            result = decode(record.value, stream, limits)
            if isinstance(result, Rejected):
                decoded.dead_letters.append(DeadLetter(position, result.reason, result.detail))
                continue
            readings.append(result)
            positions.append(position)
            if record.key != result.device_id.encode():
                decoded.key_mismatches += 1
        yield
    if readings:
        decoded.columns = Columns.of(readings, positions)
