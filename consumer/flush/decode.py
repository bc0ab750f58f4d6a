"""The records of a batch → columns of readings, and dead letters. Pure.

This is the hot path, and `decode_batch` its only entrance. Values are read one by one, because a
bad one must not cost the others, and checked together, by column. A value that is not plainly good
is odd: `telemetry.decode`, the definition of a reading, decides about it.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import compress
from operator import attrgetter, ne
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from consumer.dead_letters.letter import DeadLetter
from consumer.flush.columns import Columns, Ints, Mask
from consumer.flush.instants import read_instants
from consumer.kafka.records import Records
from telemetry.decode import (
    MAX_VALUE_BYTES,
    QUICK_DECODERS,
    Rejected,
    TimeLimits,
    explain,
    find_minus_zero,
    is_device_id,
)
from telemetry.foreign_bytes import without_schema_prefix
from telemetry.readings import Reading
from telemetry.streams import Stream

STEP = 4_000
# The definition takes some 10 µs a message, and up to 0.1 µs a byte, with the most brackets. A step
# of ODD_STEP bytes, with ODD_COST more for each message, stays below some 30 ms.
ODD_STEP = 65_536
ODD_COST = 64

# What a quick decoder raises; the value may still be a reading.
_NOT_READ = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(slots=True)
class Decoded:
    """What a batch holds; `columns` is None if no record is a reading."""

    columns: Columns | None = None
    dead_letters: list[DeadLetter] = field(default_factory=list)
    key_mismatches: int = 0


def decode_batch(
    records: Records,
    stream: Stream,
    limits: TimeLimits,
    decoded: Decoded,
    *,
    strips_schema_prefix: bool = False,
) -> Iterator[None]:
    """Fill `decoded` from the records, a step at a time.

    Yields between steps, so that an event loop can do other work. `strips_schema_prefix`: the
    prefix of Confluent's wire format is taken off values that have it.
    """
    values = records.values
    if strips_schema_prefix:
        values = list(map(without_schema_prefix, values))
    # 1. Read the values, the usual ones by column from then on.
    messages, positions, unread = yield from _read_by_steps(values, stream)
    rows = _Rows.of(messages, positions, stream)
    # 2. What could not be read, or is not plainly good, is for the definition to decide.
    odd = _odd_rows(rows, values, limits)
    readings: dict[int, Reading] = {}
    places_of_odd = sorted(unread + rows.positions[odd].tolist())
    yield from _explain(values, places_of_odd, stream, limits, readings, decoded.dead_letters)
    # 3. The good rows and those of the definition are the readings.
    if odd.any():
        rows = rows.without(odd)
    if readings:
        rows = rows.plus(readings)
    if rows.ids:
        decoded.key_mismatches = _key_mismatches(rows, records)
        decoded.columns = Columns.of(rows.ids, rows.times, rows.measures, rows.positions)


def _read_by_steps(
    values: Sequence[bytes | None], stream: Stream
) -> Generator[None, None, tuple[list[Any], Ints, list[int]]]:
    """Return the messages that quick decoders read, their positions, and those of other values.

    A stream's message may stand by itself or in an envelope, and a batch is mostly of one kind.
    Yields after each step.
    """
    messages: list[Any] = []
    positions: list[Ints] = [np.empty(0, np.int64)]
    unread: list[int] = []
    decoders = list(QUICK_DECODERS[stream.name])
    for start in range(0, len(values), STEP):
        step = values[start : start + STEP]
        places = np.arange(start, start + len(step))
        for decoder in decoders:
            found, skipped = _read(step, decoder)
            messages += found
            positions.append(np.delete(places, skipped))
            places, step = places[skipped], [step[place] for place in skipped]
        unread += places.tolist()
        if len(positions[-2]) < len(positions[-1]):
            decoders.reverse()  # most of this step was of the other kind: try that first next time
        yield
    return messages, np.concatenate(positions), unread


def _explain(  # noqa: PLR0917  what it reads, and the two places where a value may end
    values: Sequence[bytes | None],
    places: Sequence[int],
    stream: Stream,
    limits: TimeLimits,
    readings: dict[int, Reading],
    dead_letters: list[DeadLetter],
) -> Iterator[None]:
    """Decide about the values at these places by the definition; yields now and then."""
    spent = 0
    for position in places:
        value = values[position]
        spent += ODD_COST + len(value or b"")
        if spent > ODD_STEP:
            spent = 0
            yield
        result = explain(value, stream, limits)
        if isinstance(result, Rejected):
            dead_letters.append(DeadLetter(position, result.reason, result.detail))
        else:
            readings[position] = result


def _read(
    values: Sequence[bytes | None], quick: Callable[[bytes], Any]
) -> tuple[list[Any], list[int]]:
    """Return the messages that can be read, and the places of the other values."""
    messages: list[Any] = []
    unread: list[int] = []
    readable = [value if value and len(value) <= MAX_VALUE_BYTES else b"" for value in values]
    reading = map(quick, readable)  # b"" is never read
    while len(messages) + len(unread) < len(values):
        try:
            for message in reading:  # map goes on behind a value that raised
                messages.append(message)  # noqa: PERF402  an error must keep what there is
        except _NOT_READ:
            unread.append(len(messages) + len(unread))
    return messages, unread


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """n readings by column, in any order.

    `measures` (m, n) has a row for each of m measures, with NaN if a device sent none.
    """

    ids: list[str]
    times: Ints
    measures: NDArray[np.float64]
    positions: Ints

    @classmethod
    def of(cls, messages: list[Any], positions: Ints, stream: Stream) -> "_Rows":
        device_id, *measures, timestamp = map(attrgetter, stream.message.model_fields)
        return cls(
            list(map(device_id, messages)),
            read_instants(list(map(timestamp, messages))),
            np.array([_numbers(messages, get) for get in measures]),
            positions,
        )

    def without(self, rows: Mask) -> "_Rows":
        kept = ~rows
        return _Rows(
            list(compress(self.ids, kept.tolist())),  # compress is slow with an array
            self.times[kept],
            self.measures[:, kept],
            self.positions[kept],
        )

    def plus(self, readings: dict[int, Reading]) -> "_Rows":
        """Return these rows and the readings, which are by position."""
        ids, times, measures = zip(*readings.values(), strict=True)
        return _Rows(
            self.ids + list(ids),
            np.append(self.times, times),
            np.hstack([self.measures, np.array(measures, np.float64).T]),
            np.append(self.positions, list(readings)),
        )


def _numbers(messages: list[Any], get: Callable[[Any], float | None]) -> NDArray[np.float64]:
    with suppress(TypeError):  # a None, which np.array takes for NaN, a little more slowly
        return np.fromiter(map(get, messages), np.float64, len(messages))
    return np.array(list(map(get, messages)), np.float64)


def _odd_rows(rows: _Rows, values: Sequence[bytes | None], limits: TimeLimits) -> Mask:
    """Return for each row whether it is not plainly good."""
    odd: Mask = (rows.times < limits.earliest) | (rows.times > limits.latest)
    bad_ids = {device for device in set(rows.ids) if not is_device_id(device)}
    if bad_ids:
        odd |= np.fromiter(map(bad_ids.__contains__, rows.ids), np.bool_, len(rows.ids))
    zeros = np.flatnonzero((rows.measures == 0).any(axis=0))
    texts = [values[position] or b"" for position in rows.positions[zeros].tolist()]
    if find_minus_zero(b"\n".join(texts)):  # rare, so all are looked at together first
        odd[zeros] |= np.fromiter(map(bool, map(find_minus_zero, texts)), np.bool_, len(texts))
    return odd


def _key_mismatches(rows: _Rows, records: Records) -> int:
    keys = records.keys
    if len(rows.ids) < len(keys) or (rows.positions[:-1] > rows.positions[1:]).any():
        keys = [keys[position] for position in rows.positions.tolist()]
    with suppress(TypeError):  # a null key
        # No id has a line feed, so a key that has one makes a difference.
        if b"\n".join(keys) == "\n".join(rows.ids).encode():  # type: ignore[arg-type]
            return 0
    return sum(map(ne, keys, map(str.encode, rows.ids)))
