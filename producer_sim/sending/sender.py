"""Sends records to Kafka: an idempotent librdkafka producer, given batches of one partition each.

Nothing is dropped: there is no delivery timeout. While the broker is away, messages wait in
librdkafka's queue; once that is full, no more are made.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from confluent_kafka import KafkaError, KafkaException, Producer

from producer_sim.devices.records import Records
from producer_sim.ledger.book import Book
from producer_sim.ledger.reports import Reporter
from producer_sim.sending.partitions import Partitions
from producer_sim.sending.stop import Stop
from runtime.kafka.librdkafka_log import SILENT
from runtime.kafka.settings import KafkaSettings
from telemetry.streams import STREAMS

MOST_IN_FLIGHT = 100_000
"""Messages without a report. At this number, no more are sent until some are reported."""
_POLL_SECONDS = 0.1
_METADATA_SECONDS = 2.0

_CONFIGURATION = {
    "acks": "all",
    "enable.idempotence": True,
    "message.timeout.ms": 0,
    "linger.ms": 10,
    "compression.type": "lz4",
    "batch.size": 262_144,
    "batch.num.messages": 10_000,
    # Beyond MOST_IN_FLIGHT, so that the queue is never full in practice.
    "queue.buffering.max.messages": 4 * MOST_IN_FLIGHT,
    "queue.buffering.max.kbytes": 1_048_576,
    "reconnect.backoff.max.ms": 1_000,
    "socket.keepalive.enable": True,
}


class SenderError(Exception):
    """The producer cannot start or go on. The message is one line."""


class Sender:
    """Sends records; the broker's reports on them go to the book."""

    def __init__(
        self, *, kafka: KafkaSettings, book: Book, stop: Stop, say: Callable[[str], None]
    ) -> None:
        """Start the client without connecting. Raises SenderError for unusable settings."""
        self._book = book
        self._stop = stop
        self._say = say
        self._kafka = kafka
        self._credentials = kafka.credentials()
        self._servers = kafka.bootstrap_servers
        self._partitions: list[Partitions] = []
        self._away = False
        self._fatal: KafkaError | None = None
        configuration: dict[str, Any] = kafka.librdkafka() | _CONFIGURATION
        configuration["error_cb"] = self._note_error
        try:
            self._producer = Producer(configuration, logger=SILENT)
        except KafkaException as error:
            raise SenderError(f"the producer cannot start: {error.args[0].str()}") from error

    def connect(self) -> bool:
        """Wait for the broker and read the topics' partitions; False if stopped meanwhile."""
        for stream in STREAMS:
            count = 0
            while not count:
                if self._stop.requested:
                    return False
                count = self._partition_count(stream.topic)
                self.wait(0.0 if count else _POLL_SECONDS)
            self._partitions.append(Partitions(count=count))
        return True

    @property
    def partition_counts(self) -> dict[str, int]:
        """The number of partitions of each topic, once connected."""
        return {
            stream.topic: partitions.count
            for stream, partitions in zip(STREAMS, self._partitions, strict=True)
        }

    @property
    def has_room(self) -> bool:
        return len(self._producer) < MOST_IN_FLIGHT

    def send(self, records: Records, now_us: int) -> None:
        """Enter the records in the book and give them to librdkafka, in order.

        Raises SenderError if the producer cannot go on.
        """
        partitions = self._partitions_of(records)
        reports = self._book.enter(records, partitions, now_us)
        for topic, partition, rows in _by_partition(records, partitions):
            self._produce(
                topic,
                partition,
                [
                    {"value": records.values[row], "key": records.keys[row], "callback": report}
                    for row, report in zip(rows, [reports[row] for row in rows], strict=True)
                ],
            )

    def wait(self, seconds: float) -> None:
        """Take reports: return when some came, or after this many seconds.

        Raises SenderError if the producer cannot go on.
        """
        known = self._book.tally.acknowledged
        self._producer.poll(seconds)
        if self._away and self._book.tally.acknowledged > known:
            self._broker_answers()
        if self._fatal is not None:
            raise SenderError(f"the producer cannot go on: {self._fatal.str()}")

    def flush(self, seconds: float) -> None:
        """Wait for the outstanding reports, at most this many seconds, and not if urged."""
        deadline = time.monotonic() + seconds
        while len(self._producer) and time.monotonic() < deadline and not self._stop.urgent:
            self.wait(_POLL_SECONDS)

    def close(self) -> None:
        """Give up on messages without a report; nothing is sent after this."""
        self._producer.purge()
        self._producer.poll(0)
        self._producer.close()

    def _produce(self, topic: str, partition: int, messages: list[dict[str, Any]]) -> None:
        while messages:
            accepted = self._producer.produce_batch(topic, messages, partition=partition)
            if accepted == len(messages):
                return
            messages = self._refused(messages)
            if messages:
                self.wait(_POLL_SECONDS)

    def _refused(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Report messages that can never be sent; return those to try again when there is room.

        librdkafka refuses everything after the first message without room, so the order is kept.
        """
        again = []
        for message in messages:
            error: KafkaError | None = message.pop("_error", None)
            if error is None:
                continue
            full = error.code() == KafkaError._QUEUE_FULL
            if full and not self._stop.urgent:
                again.append(message)
            else:
                report: Reporter = message["callback"]
                report(error, None)
        return again

    def _partitions_of(self, records: Records) -> list[int]:
        of_stream = self._partitions
        return [
            of_stream[stream][key] if key is not None else of_stream[stream].without_key(value)
            for stream, key, value in zip(
                records.stream.tolist(), records.keys, records.values, strict=True
            )
        ]

    def _partition_count(self, topic: str) -> int:
        try:
            metadata = self._producer.list_topics(topic, _METADATA_SECONDS)
        except KafkaException as error:
            self._note_error(error.args[0])
            return 0
        return len(metadata.topics[topic].partitions)

    def _note_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = error
        elif not self._away:
            self._away = True
            self._say(f"waiting for the broker at {self._servers}: {error.str()}")
        if self._kafka.uses_password and self._credentials != self._kafka.credentials():
            self._credentials = self._kafka.credentials()
            self._producer.set_sasl_credentials(*self._credentials)

    def _broker_answers(self) -> None:
        self._away = False
        self._say(f"the broker at {self._servers} answers again")


def _by_partition(records: Records, partitions: list[int]) -> Iterator[tuple[str, int, list[int]]]:
    """Yield each topic and partition with the rows that go there, in order."""
    lanes = np.array(partitions) * len(STREAMS) + records.stream
    order = np.argsort(lanes, kind="stable")
    ends = np.flatnonzero(np.diff(lanes[order])) + 1
    for rows in np.split(order, ends):
        if len(rows):
            stream = STREAMS[int(records.stream[rows[0]])]
            yield stream.topic, partitions[rows[0]], rows.tolist()
