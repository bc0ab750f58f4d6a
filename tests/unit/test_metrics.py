"""The catalogue of metrics, as a scrape shows it."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from consumer.breaker import State
from consumer.metrics import Metrics
from telemetry.reasons import Reason
from telemetry.streams import METER, STREAMS, VEHICLE

CONTRACT = {
    "telemetry_messages_total": {"topic", "outcome"},
    "telemetry_dead_letters_total": {"topic", "reason"},
    "telemetry_key_mismatches_total": {"topic"},
    "telemetry_batch_rows_count": {"topic"},
    "telemetry_flush_seconds_count": {"topic"},
    "telemetry_flush_retries_total": {"cause"},
    "telemetry_fenced_batches_total": {"topic"},
    "telemetry_lag_messages": {"topic", "partition"},
    "telemetry_lag_seconds": {"topic", "partition"},
    "telemetry_buffered_bytes": set[str](),
    "telemetry_database_available": set[str](),
    "telemetry_assigned_partitions": set[str](),
}

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(metrics: Metrics) -> Series:
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(series: Series, name: str, **labels: str) -> float | None:
    return series.get((name, tuple(sorted(labels.items()))))


def used() -> Metrics:
    """Return metrics, each of which has been changed once."""
    metrics = Metrics()
    metrics.count_flush(
        topic=METER.topic,
        seconds=0.1,
        rows=1,
        stored=1,
        duplicates=0,
        reasons=Counter(),
        cut=Counter(),
        key_mismatches=0,
    )
    metrics.flush_retries.labels("connection").inc()
    metrics.lag_messages.labels(METER.topic, 3).set(7)
    metrics.lag_seconds.labels(METER.topic, 3).set(1.5)
    metrics.stopped_partitions.labels(METER.topic, 3).set(1)
    metrics.database_refused.labels("flush", METER.topic, "42501").set(2)
    metrics.show_circuit(State.OPEN)
    return metrics


@pytest.mark.parametrize("name", CONTRACT)
def test_every_metric_of_the_contract_is_shown_with_its_labels(name: str) -> None:
    labels = [{name for name, _ in labels} for shown, labels in scraped(used()) if shown == name]
    assert labels
    assert all(one == CONTRACT[name] for one in labels)


def test_no_label_can_hold_a_device() -> None:
    bounded = {"topic", "outcome", "reason", "cause", "partition", "stage", "state", "le"}
    bounded |= {"work", "sqlstate"}
    series = scraped(used())
    ours = [labels for name, labels in series if name.startswith("telemetry_")]
    assert {label for labels in ours for label, _ in labels} == bounded


@pytest.mark.parametrize("topic", [METER.topic, VEHICLE.topic])
def test_counters_start_at_zero_before_the_first_message(topic: str) -> None:
    series = scraped(Metrics())
    for outcome in ("stored", "duplicate", "dead_lettered"):
        assert value(series, "telemetry_messages_total", topic=topic, outcome=outcome) == 0
    for reason in Reason:
        assert value(series, "telemetry_dead_letters_total", topic=topic, reason=reason) == 0
    for name in ("key_mismatches", "fenced_batches"):
        assert value(series, f"telemetry_{name}_total", topic=topic) == 0


FLUSHES = st.lists(
    st.tuples(
        st.sampled_from([stream.topic for stream in STREAMS]),
        st.integers(0, 1_000),
        st.integers(0, 1_000),
        st.dictionaries(st.sampled_from(Reason), st.integers(1, 100), max_size=4),
    ),
    max_size=4,
)


@settings(max_examples=40)
@given(FLUSHES)
def test_what_was_consumed_is_stored_duplicate_or_dead_lettered(
    flushes: list[tuple[str, int, int, dict[Reason, int]]],
) -> None:
    metrics = Metrics()
    consumed, ends = Counter[str](), Counter[tuple[str, str]]()
    for topic, stored, duplicates, reasons in flushes:
        rows = stored + duplicates + sum(reasons.values())
        metrics.count_flush(
            topic=topic,
            seconds=0.1,
            rows=rows,
            stored=stored,
            duplicates=duplicates,
            reasons=Counter(reasons),
            cut=Counter(),
            key_mismatches=0,
        )
        consumed[topic] += rows
        ends.update({(topic, "stored"): stored, (topic, "duplicate"): duplicates})
        ends.update({(topic, reason.value): count for reason, count in reasons.items()})
    series = scraped(metrics)
    for stream in STREAMS:
        topic = stream.topic
        outcomes = {
            outcome: value(series, "telemetry_messages_total", topic=topic, outcome=outcome)
            for outcome in ("stored", "duplicate", "dead_lettered")
        }
        letters = {
            reason: value(series, "telemetry_dead_letters_total", topic=topic, reason=reason)
            for reason in Reason
        }
        assert sum(count or 0 for count in outcomes.values()) == consumed[topic]
        assert outcomes["stored"] == ends[topic, "stored"]
        assert outcomes["duplicate"] == ends[topic, "duplicate"]
        assert outcomes["dead_lettered"] == sum(count or 0 for count in letters.values())
        assert letters == {reason: ends[topic, reason.value] for reason in Reason}
        assert (value(series, "telemetry_batch_rows_sum", topic=topic) or 0) == consumed[topic]


def test_a_partition_that_has_moved_on_is_shown_no_more() -> None:
    metrics = used()
    metrics.lag_messages.labels(METER.topic, 4).set(9)
    metrics.forget_partition(METER.topic, 3)
    series = scraped(metrics)
    assert not [labels for _, labels in series if ("partition", "3") in labels]
    assert value(series, "telemetry_lag_messages", topic=METER.topic, partition="4") == 9


def test_a_partition_that_was_never_shown_can_be_forgotten() -> None:
    Metrics().forget_partition(VEHICLE.topic, 11)


def test_two_replicas_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.messages.labels(METER.topic, "stored").inc(5)
    assert (
        value(scraped(other), "telemetry_messages_total", topic=METER.topic, outcome="stored") == 0
    )


def test_the_exposition_shows_the_process_and_no_creation_times() -> None:
    names = {name for name, _ in scraped(used())}
    assert "process_resident_memory_bytes" in names
    assert not [name for name in names if name.endswith("_created")]
