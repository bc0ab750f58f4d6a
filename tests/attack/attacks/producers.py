"""What a producer to the topics can send. The last attack stops its partition for good."""

import os
import uuid
from datetime import UTC, datetime

from confluent_kafka import Producer

from deploy.stored_offsets import Place
from telemetry.streams import METER, VEHICLE
from tests.api.readings import encode, meter, stamp
from tests.attack.attack import PRODUCER, attack
from tests.attack.crowd import at_once
from tests.attack.site import Site
from tests.attack.topics import ATTACKED, ZSTD

_MIB = 1 << 20
_VALUE = 64 << 10
_WHOLE = 16 * _MIB
_MOST_REPLICA_GROWTH_MIB = 256
_LETTERS: Place = (VEHICLE.topic, 3)
_DEEP: Place = (VEHICLE.topic, 5)
_COPIED: Place = (METER.topic, 2)
_COPIES = 40
_OPEN: Place = (METER.topic, 9)


@attack(PRODUCER, short=True)
def deep_json(site: Site) -> None:
    """Readings with an unknown field, 30,000 arrays deep."""
    deep = "[" * 30_000 + "]" * 30_000
    values = [
        encode(meter("mtr-1", timestamp=stamp(datetime.now(UTC))))[:-1] + f',"x":{deep}}}'.encode()
        for _ in range(site.brief_or(100, 600))
    ]
    end = site.topics.send(_DEEP, values, codec=ZSTD) + len(values)
    site.topics.expect_progress(but=_DEEP)
    left = site.topics.wait_until_stored({_DEEP: end})
    site.expect(not left, f"{left} of them still wait")


@attack(PRODUCER, short=True)
def letters_without_end(site: Site) -> None:
    """100 KB in Kafka that become 212 MB of dead letters."""
    # zstd sees that they are alike; PostgreSQL, which packs one by one, finds nothing to pack.
    value = os.urandom(_VALUE - 1)
    each = 150
    batches = site.brief_or(4, 22)
    before = _letters(site)
    for _ in range(batches):
        end = site.topics.send(_LETTERS, [value] * each, codec=ZSTD) + each
    site.topics.expect_progress(but=_LETTERS)
    left = site.topics.wait_until_stored({_LETTERS: end}, seconds=25)
    site.expect(not left, f"{left} of them still wait")
    sent, kept = batches * each * _VALUE, _letters(site) - before
    site.remarks.append(f"{sent >> 20} MiB sent, {kept >> 20} MiB kept")
    site.expect(kept <= max(sent // 2, _WHOLE), f"{kept >> 20} of {sent >> 20} MiB are kept")


@attack(PRODUCER, short=True)
def open_transaction(site: Site) -> None:
    """A transaction that is never ended: what waits behind it is reported."""
    topic, partition = _OPEN
    producer = Producer(
        {
            "bootstrap.servers": site.servers.kafka.bootstrap,
            "transactional.id": f"attack-{uuid.uuid4().hex[:8]}",
            "transaction.timeout.ms": 60_000,
            "log_level": 3,
        }
    )
    producer.init_transactions(20.0)
    producer.begin_transaction()
    try:
        producer.produce(topic, encode(meter("mtr-1")), partition=partition)
        producer.flush(20.0)
        behind = site.topics.send_honest([_OPEN], each=50)
        site.topics.expect_progress(but=_OPEN)
        site.expect(site.topics.left(behind), "what lies behind it was stored")
        site.expect_said_by_replica("lag", _OPEN, least=1)
    finally:
        producer.abort_transaction(20.0)
        del producer
    left = site.topics.wait_until_stored(behind)
    site.expect(not left, "what lay behind it is not stored after its end")


@attack(PRODUCER)
def copies_again(site: Site) -> None:
    """The same readings forty times: all count as duplicates, and PostgreSQL's log stays quiet."""
    at = stamp(datetime.now(UTC))
    values = [encode(meter(f"mtr-{pair}", timestamp=at)) for pair in range(1, 501)]
    log = site.servers.postgres.server.log
    before = log.read_text(errors="replace").count("ERROR:")
    for _ in range(_COPIES):
        end = site.topics.send(_COPIED, values) + len(values)
        left = site.topics.wait_until_stored({_COPIED: end})
        site.expect(not left, f"{left} of them still wait")
    errors = log.read_text(errors="replace").count("ERROR:") - before
    site.expect(errors <= _COPIES // 4, f"{errors} errors in PostgreSQL's log")


@attack(PRODUCER, short=True)
def packed_batch(site: Site) -> None:
    """A batch of 100 KB that unpacks to 500 MB."""
    size = site.brief_or(160, 500)
    value = b" " * (_MIB - 100)
    begun = site.growth_of_replica()
    works = [
        lambda: site.topics.send(ATTACKED, [value] * size, codec=ZSTD),
        lambda: site.topics.expect_progress(but=ATTACKED),
    ]
    at_once(works)
    site.topics.expect_progress(but=ATTACKED, when="after it")
    growth = (site.growth_of_replica() - begun) >> 20
    site.expect(
        growth <= _MOST_REPLICA_GROWTH_MIB, f"the replica took {growth} MiB more for {size} MiB"
    )
    site.expect_said_by_replica("stopped_partitions", ATTACKED, least=1)


def _letters(site: Site) -> int:
    return site.count("SELECT sum(octet_length(value)) FROM dead_letter")
