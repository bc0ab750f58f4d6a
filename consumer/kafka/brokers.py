"""Whether Kafka's brokers answer: changes are logged and measured, and calls tried again."""

import structlog
from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from consumer.backoff import backoff
from consumer.metrics import Metrics
from runtime.kafka.brokers import Availability

log = structlog.get_logger()

_LONGEST_PAUSE_S = 3.0


class Brokers:
    """Knows whether the brokers answered the client that asked them last."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._availability = Availability()

    def note_available(self) -> None:
        """Note that a broker has answered."""
        if self._availability.found():
            self._metrics.kafka_available.set(1)
            log.info("kafka_available")

    def note_unavailable(self, error: BaseException) -> None:
        """Note that no broker has answered."""
        if self._availability.missed(error):
            self._metrics.kafka_available.set(0)
            # An error of time has no text.
            log.warning("kafka_unavailable", error=str(error) or "no answer in time")

    def retrying(self) -> AsyncRetrying:
        """Return the attempts to ask them, for as long as it takes."""
        return AsyncRetrying(
            retry=retry_if_exception_type((KafkaError, OSError)),
            wait=backoff(_LONGEST_PAUSE_S),
            before_sleep=self._note_failure,
            reraise=True,
        )

    def _note_failure(self, state: RetryCallState) -> None:
        assert state.outcome is not None  # noqa: S101  set whenever a try has failed
        error = state.outcome.exception()
        assert error is not None  # noqa: S101  that of the failed try
        self.note_unavailable(error)
