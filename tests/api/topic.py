"""New records of a topic, read back from the broker byte by byte."""

from typing import NamedTuple, Self

from confluent_kafka import KafkaException, TopicPartition
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from runtime.kafka.topics import DEFAULT_PARTITIONS
from tests import kafka_clients

_SECONDS = 20.0


class Stored(NamedTuple):
    """A record of the topic."""

    partition: int
    key: bytes
    value: bytes


class Topic:
    """Remembers where the topic ended when it was entered."""

    def __init__(self, bootstrap_servers: str, name: str) -> None:
        self._name = name
        self._consumer = kafka_clients.consumer(bootstrap_servers)
        self._begin: list[int] = []

    def __enter__(self) -> Self:
        self._begin = self._ends()
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def new(self) -> list[Stored]:
        """Return the records that the broker has by now, without waiting."""
        ends = self._ends()
        wanted = sum(ends) - sum(self._begin)
        self._consumer.assign(
            [
                TopicPartition(self._name, number, begin)
                for number, begin in enumerate(self._begin)
                if begin < ends[number]
            ]
        )
        found = self._consumer.consume(wanted, _SECONDS) if wanted else []
        assert len(found) == wanted
        return [Stored(one.partition() or 0, one.key() or b"", one.value() or b"") for one in found]

    def _ends(self) -> list[int]:
        return [self._end(number) for number in range(DEFAULT_PARTITIONS)]

    # A topic was just made: its leaders are chosen one by one, and learn of it later.
    @retry(
        retry=retry_if_exception_type(KafkaException),
        stop=stop_after_delay(_SECONDS),
        wait=wait_fixed(0.05),
        reraise=True,
    )
    def _end(self, number: int) -> int:
        place = TopicPartition(self._name, number)
        end: int = self._consumer.get_watermark_offsets(place, _SECONDS)[1]
        return end
