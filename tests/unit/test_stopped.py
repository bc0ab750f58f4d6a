"""Partitions that cannot be read: when to give up on one, and what is said of it."""

from aiokafka import TopicPartition
from structlog.testing import capture_logs

from consumer.kafka.stopped import Stopped
from consumer.kafka.unreadable import Unreadable
from consumer.metrics import Metrics

PLACE = TopicPartition("telemetry.meter", 3)
LABELS = {"topic": "telemetry.meter", "partition": "3"}


def unreadable(offset: int, *, end: int | None = None) -> Unreadable:
    return Unreadable(PLACE, offset=offset, end=end, reason="it is odd")


def test_a_batch_that_its_producer_sent_so_stops_its_partition_at_once() -> None:
    assert Stopped(Metrics()).gives_up_at(unreadable(7, end=9))


def test_a_batch_that_may_have_been_damaged_is_fetched_once_more() -> None:
    stopped = Stopped(Metrics())
    with capture_logs() as logs:
        assert not stopped.gives_up_at(unreadable(7))
    assert [entry["event"] for entry in logs] == ["batch_unreadable"]
    assert stopped.gives_up_at(unreadable(7))
    assert not stopped.gives_up_at(unreadable(8)), "another batch has its own second try"


def test_a_partition_that_stops_is_logged_and_measured_until_it_is_forgotten() -> None:
    metrics = Metrics()
    stopped = Stopped(metrics)
    with capture_logs() as logs:
        stopped.add(PLACE, next_offset=7, reason="it is odd", batch_end=None)
    [entry] = logs
    assert (entry["event"], entry["next_offset"], entry["reason"]) == (
        "partition_stopped",
        7,
        "it is odd",
    )
    assert "batch_end" not in entry
    assert list(stopped) == [PLACE]
    assert metrics.registry.get_sample_value("telemetry_stopped_partitions", LABELS) == 1
    stopped.clear()
    assert not stopped
    assert PLACE not in stopped
