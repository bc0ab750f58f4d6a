"""The partition of a key: Kafka's murmur2, as Java clients compute it. Pure.

The simulator chooses partitions itself. So it can give librdkafka whole batches of one partition,
and a copy goes to the partition of its original even if partitions are added meanwhile.
"""

from zlib import crc32

from aiokafka.partitioner import murmur2


class Partitions(dict[bytes, int]):
    """Key → partition of one topic, computed once for every key."""

    def __init__(self, *, count: int) -> None:
        super().__init__()
        self.count = count

    def __missing__(self, key: bytes) -> int:
        partition: int = (murmur2(key) & 0x7FFFFFFF) % self.count
        self[key] = partition
        return partition

    def without_key(self, value: bytes | None) -> int:
        """Return a partition that depends on the value alone, so that a seed repeats it."""
        return crc32(value or b"") % self.count
