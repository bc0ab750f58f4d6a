"""The gateway to Kafka: readings in, the broker's acknowledgement out."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from api.settings import GatewaySettings
from runtime.kafka.brokers import Availability
from runtime.kafka.librdkafka_log import SILENT
from runtime.kafka.settings import KafkaSettings

log = structlog.get_logger()

_POLL_S = 0.1
_PING_S = 1.5
# Purged messages are reported at once. The pause is for a cluster that refuses every producer, for
# example for a missing permission: it must not be asked all the time.
_PURGE_S = 1.0
_RENEW_S = 1.0
# Every client must map a key to the same partition, or a device's readings lose their order. This
# is the partitioner of the Java client, which other clients use or can be configured to use.
_CONFIGURATION = {
    "partitioner": "murmur2_random",
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 5,
    "compression.type": "lz4",
    "socket.keepalive.enable": True,
    "reconnect.backoff.ms": 100,
    "reconnect.backoff.max.ms": 1_000,
    "log_level": 2,
}


class Message(NamedTuple):
    """One reading for Kafka: the bytes are sent as they came."""

    topic: str
    key: bytes
    value: bytes


class Unacknowledged(Exception):  # noqa: N818  what the messages are
    """The broker did not acknowledge all of the messages; some may have been stored."""


class _Delivery:
    """Counts the acknowledgements of one request, on the producer's thread."""

    def __init__(self, messages: int) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = messages
        self._failed: KafkaError | None = None

    def report(self, error: KafkaError | None, _: object) -> None:
        self._left -= 1
        self._failed = self._failed or error
        if not self._left:
            self.done.get_loop().call_soon_threadsafe(self._end)

    def refuse(self, error: KafkaError, messages: int) -> None:
        """Note that this many messages were not even queued."""
        self._left -= messages - 1
        self.report(error, None)

    def _end(self) -> None:
        if self.done.done():  # the request has stopped waiting
            return
        if self._failed is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(Unacknowledged(self._failed.str()))


class Gateway:
    """An idempotent producer with a bounded buffer, which knows whether Kafka is available.

    librdkafka's producer does not survive a fatal error, and keeps the secrets and certificates of
    its start: then another one takes its place.
    """

    def __init__(self, *, kafka: KafkaSettings, settings: GatewaySettings) -> None:
        self._kafka = kafka
        self._configuration: dict[str, Any] = _CONFIGURATION | {
            "message.timeout.ms": settings.gateway_timeout_ms,
            "queue.buffering.max.kbytes": settings.gateway_buffer_bytes >> 10,
            "error_cb": self._note_error,
        }
        self._timeout_s = settings.gateway_timeout_ms / 1_000
        self._producer = self._make()
        self._is_outdated = False
        self._ending = threading.Event()
        self._availability = Availability()
        self._cause = ""
        # A thread of its own: work that fills the shared ones must not hide whether Kafka answers.
        self._pinging = ThreadPoolExecutor(1, thread_name_prefix="kafka-ping")

    @property
    def is_available(self) -> bool | None:
        """Return whether Kafka answers; None as long as nothing is known."""
        return self._availability.is_available

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Gateway"]:
        """Receive the broker's reports on a thread, up to the last one at the end; only once."""
        thread = threading.Thread(target=self._poll, name="kafka-reports")
        thread.start()
        try:
            yield self
        finally:
            self._ending.set()
            await asyncio.to_thread(thread.join)
            await asyncio.to_thread(self.close)
            self._pinging.shutdown(wait=False)

    def close(self) -> None:
        """Close the producer, even if the gateway has never run."""
        self._producer.close()

    async def send(self, messages: Sequence[Message]) -> None:
        """Return once the broker has acknowledged all of them; raises Unacknowledged."""
        delivery = _Delivery(len(messages))
        producer = self._producer
        for number, message in enumerate(messages):
            try:
                producer.produce(
                    message.topic, message.value, message.key, on_delivery=delivery.report
                )
            except BufferError:
                full = KafkaError(KafkaError._QUEUE_FULL)
                delivery.refuse(full, len(messages) - number)
                break
            except KafkaException as error:  # a fatal error, until another producer is there
                delivery.refuse(error.args[0], len(messages) - number)
                break
        try:
            # librdkafka looks for messages that have timed out only once a second.
            async with asyncio.timeout(self._timeout_s):
                await delivery.done
        except TimeoutError:
            raise Unacknowledged("the broker did not answer in time") from None
        self._note_available()

    async def ping(self) -> None:
        """Raise Unacknowledged unless a broker answers."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._pinging, self._list_topics)
        except KafkaException as error:
            raise Unacknowledged(error.args[0].str()) from error
        self._note_available()

    def _list_topics(self) -> None:
        try:
            self._producer.list_topics(timeout=_PING_S)
        except KafkaException:
            self._look_at_files()
            raise

    def _make(self) -> Producer:
        self._made_of = self._kafka.version()
        return Producer(self._kafka.librdkafka() | self._configuration, logger=SILENT)

    def _look_at_files(self) -> None:
        """See, after a failure, whether a secret or certificate was replaced since the start."""
        self._is_outdated = self._kafka.version() != self._made_of

    def _poll(self) -> None:
        while not self._ending.is_set() or len(self._producer):
            try:
                self._producer.poll(_POLL_S)
            except KafkaException as error:  # a fatal error is raised here and nowhere else
                self._renew(error.args[0])
            if self._is_outdated:
                self._replace()

    def _replace(self) -> None:
        """Make a producer of what the files hold now; messages that still wait are refused."""
        self._is_outdated = False
        former = self._producer
        try:
            self._producer = self._make()
        except KafkaException as error:  # the files may be written just now
            self.note_unavailable(error)
            return
        log.info("kafka_producer_renewed")
        former.flush(_PURGE_S)
        former.purge()
        former.flush(_PURGE_S)

    def _renew(self, error: KafkaError) -> None:
        """Drop the producer with all messages that wait in it, and make another."""
        log.error("kafka_producer_broken", error=error.str())
        self._availability.is_available = False
        # 1. The messages that wait are reported as failed: none of them was acknowledged.
        self._producer.purge()
        self._producer.flush(_PURGE_S)
        # 2. A broken producer refuses all messages, so none wait in it during the pause.
        if not self._ending.wait(_RENEW_S):
            self._producer = self._make()

    def _note_error(self, error: KafkaError) -> None:
        """Called on the producer's thread: with an error of one broker, then that all are down."""
        self._look_at_files()
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._cause = error.str()
        else:
            self.note_unavailable(KafkaException(error), said=self._cause or error.str())

    def note_unavailable(self, error: Exception, *, said: str = "") -> None:
        """Note that Kafka is unavailable, and log it unless it is known already."""
        if self._availability.missed(error):
            log.warning("kafka_unavailable", error=said or str(error))

    def _note_available(self) -> None:
        if self._availability.found():
            self._cause = ""
            log.info("kafka_available")
