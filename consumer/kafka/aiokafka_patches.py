"""What is replaced inside aiokafka, and why. This is the only place that changes a library.

aiokafka takes none of these as an argument. Each replacement is a subclass, or takes the same
arguments and returns the same as what it replaces. Importing this module changes nothing;
`install` does, for all consumers of the process.
"""

import sys
from functools import cache
from types import ModuleType
from typing import NamedTuple

import aiokafka
import structlog
from aiokafka import conn
from aiokafka.consumer import consumer, fetcher
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.legacy_records import LegacyRecordBatch, _LegacyRecordBatchPy

from consumer.kafka.batches import Batches
from consumer.kafka.connection import Connection
from consumer.kafka.fetched import FetchResult, PartitionRecords
from consumer.kafka.membership import Coordinator
from consumer.kafka.unpacking import DECODERS, OLD_DECODERS

log = structlog.get_logger()

CHECKED_VERSION = "0.14.0"
"""The version of aiokafka whose code these replacements were checked against."""


class Patch(NamedTuple):
    """A name in a module of aiokafka's, and what stands there after `install`."""

    module: ModuleType
    name: str
    ours: object


# The parsers, two of them in C, look their decoders up by name in their own modules. Batches in the
# old formats are never packed by zstd.
_PARSERS = (
    (DefaultRecordBatch, DECODERS),
    (_DefaultRecordBatchPy, DECODERS),
    (LegacyRecordBatch, OLD_DECODERS),
    (_LegacyRecordBatchPy, OLD_DECODERS),
)

PATCHES = (
    # `getmany` returns Records (columns) of each partition, not a list of ConsumerRecord: an object
    # for each record costs more than all that is done with it. No upstream issue.
    # PartitionRecords and Batches also read what aiokafka's parsers refuse: a header's name that is
    # not UTF-8, which KIP-82 asks for and no broker checks, stops a partition for ever. A batch
    # that cannot be read raises Unreadable, which names the offset behind it. No upstream issue.
    # https://cwiki.apache.org/confluence/display/KAFKA/KIP-82+-+Add+Record+Headers
    Patch(fetcher, "MemoryRecords", Batches),
    Patch(fetcher, "PartitionRecords", PartitionRecords),
    Patch(fetcher, "FetchResult", FetchResult),
    # A batch of 100 KB may unpack to 500 MB, and aiokafka unpacks all of it. These decoders stop
    # at a limit. Other clients and the broker have got one: franz-go's MaxDecompressedBatchBytes,
    # Kafka's max.decompressed.message.bytes. aiokafka has no issue about it.
    # https://github.com/twmb/franz-go/pull/1461 https://github.com/apache/kafka/pull/23429
    *(
        Patch(sys.modules[parser.__module__], decoder.__name__, decoder)
        for parser, decoders in _PARSERS
        for decoder in decoders
    ),
    # uvloop raises RuntimeError at a write to a closed transport, and aiokafka expects OSError: its
    # task that fetches ends, and the replica with it.
    # https://github.com/aio-libs/aiokafka/issues/1038
    Patch(conn, "AIOKafkaConnection", Connection),
    # Two processes with one KAFKA_GROUP_INSTANCE_ID take each other's place for ever: aiokafka
    # does not know FENCED_INSTANCE_ID, and joins again without its member id. No upstream issue.
    # https://cwiki.apache.org/confluence/display/KAFKA/KIP-345
    Patch(consumer, "GroupCoordinator", Coordinator),
)


@cache
def install() -> None:
    """Replace the names in this process; a second call does nothing.

    Raises AttributeError if aiokafka no longer has one of them: a replacement that is not looked up
    would have no effect. Another version is only warned about: the lock files pin the checked one,
    and a release that closes a security hole must not keep the service from starting.
    """
    if aiokafka.__version__ != CHECKED_VERSION:
        log.warning("aiokafka_unchecked", version=aiokafka.__version__, checked=CHECKED_VERSION)
    for patch in PATCHES:
        getattr(patch.module, patch.name)
    for patch in PATCHES:
        setattr(patch.module, patch.name, patch.ours)
