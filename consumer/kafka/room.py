"""The memory that batches are unpacked into, shared by all partitions of a process.

A batch stays unpacked until all its records are handed out, and every partition may be in the
middle of one. A small batch always has room. Large ones share the room for one of the largest: a
partition whose batch finds no room waits for its turn, and the others go on.

aiokafka's parsers take no arguments. So a process has one room, and the partition that is read next
is named in `ROOM.reader` first.
"""

from collections.abc import Callable, Collection
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from aiokafka import TopicPartition

from consumer.settings import UNPACKED_MAX_BYTES

# Unpacks to the start of a buffer, and returns the length; raises Full if that is too short.
Fill = Callable[[Any, memoryview], int]


class TooLarge(ValueError):  # noqa: N818  what the batch is
    """The batch holds more than may be unpacked of one."""


class NoRoom(Exception):  # noqa: N818  what there is
    """Others have unpacked so much that this batch has to wait."""


class Full(Exception):  # noqa: N818  what the room is
    """The batch holds more than the room does."""


class Room:
    """The memory that large batches are unpacked into: `limit` bytes, for all of them together.

    The partition that has waited longest is served first, so that the largest batches are not
    passed over for ever.
    """

    def __init__(self) -> None:
        self.limit = UNPACKED_MAX_BYTES
        self.reader = TopicPartition("", 0)
        self._small: bytes | None = None
        # By partition; an entry ends when the parser that reads it does.
        self._held: WeakValueDictionary[TopicPartition, Any] = WeakValueDictionary()
        # By partition, in order of arrival: the room that was too small for it.
        self._waiting: dict[TopicPartition, int] = {}

    @property
    def held(self) -> int:
        """The bytes of all large batches that are unpacked now."""
        return sum(map(len, self._held.values()))

    def has_unpacked(self, partition: TopicPartition) -> bool:
        """Return whether a large batch of the partition is unpacked now."""
        return partition in self._held

    def is_worth_a_try(self, partition: TopicPartition) -> bool:
        """Return whether it is the partition's turn, with more room than at its last try."""
        first = next(iter(self._waiting), partition)
        return first == partition and self.limit - self.held > self._waiting.get(partition, 0)

    def keep_waiting(self, partitions: Collection[TopicPartition]) -> None:
        """Let only these partitions wait: another is not read now, and would hold them up."""
        self._waiting = {one: size for one, size in self._waiting.items() if one in partitions}

    def forget(self, partition: TopicPartition) -> None:
        """Take the partition off the waiting list."""
        self._waiting.pop(partition, None)

    def unpack(self, packed: Any, fill: Fill) -> Any:
        """Return the bytes of a large batch, as a buffer.

        Raises NoRoom, TooLarge, and what `fill` does.
        """
        reader, self._small = self.reader, None
        self._waiting.setdefault(reader, 0)
        if not self.is_worth_a_try(reader):
            raise NoRoom
        # Memory that is not written to is not taken: it costs as much as the batch holds.
        room = np.empty(self.limit - self.held, np.uint8)
        try:
            unpacked = room[: fill(packed, room.data)]
        except Full:
            if len(room) < self.limit:
                self._waiting[reader] = len(room)
                raise NoRoom from None
            self.forget(reader)
            raise TooLarge(f"it unpacks to over {self.limit:,} bytes") from None
        self.forget(reader)
        return self.hold(unpacked)

    def give(self, unpacked: bytes) -> bytes:
        """Return the bytes of a small batch, and keep them for one `take_unpacked`."""
        self._small = unpacked
        return unpacked

    def take_unpacked(self) -> Any:
        """Return what was unpacked last for this reader, and no longer keep it if it is small."""
        small, self._small = self._small, None
        return self._held.get(self.reader) if small is None else small

    def hold(self, unpacked: Any) -> Any:
        """Return these bytes, which count as held until nothing refers to them."""
        self._held[self.reader] = unpacked
        return unpacked


ROOM = Room()
