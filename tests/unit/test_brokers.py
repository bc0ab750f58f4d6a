"""What is said of Kafka's brokers when they do not answer."""

import pytest
from aiokafka.errors import KafkaConnectionError
from structlog.testing import capture_logs

from consumer.kafka.brokers import Brokers
from consumer.metrics import Metrics


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "no answer in time"),
        (KafkaConnectionError("no route"), "KafkaConnectionError: no route"),
    ],
)
def test_a_line_says_why_kafka_is_unavailable(error: Exception, said: str) -> None:
    brokers = Brokers(Metrics())
    with capture_logs() as lines:
        brokers.note_unavailable(error)
        brokers.note_unavailable(error)
    assert [(line["event"], line["error"]) for line in lines] == [("kafka_unavailable", said)]
