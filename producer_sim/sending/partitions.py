"""Which partition a key goes to: Kafka's own murmur2, as Java clients compute it. Pure.

The simulator chooses the partition itself. So it can hand librdkafka whole batches of one
partition, and a copy goes where its original went even if partitions are added meanwhile.
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
        """Return any partition; the same one for the same value, so that a seed repeats it."""
        return crc32(value or b"") % self.count
