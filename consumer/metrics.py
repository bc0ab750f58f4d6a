"""The catalogue of metrics. Messages are counted by batch, once its commit is known.

A label is never a device's id.
"""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from consumer.breaker import State
from runtime.metrics import new_registry
from telemetry.reasons import Reason
from telemetry.streams import STREAMS

_FLUSH_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
STAGES = ("decode", "encode", "copy", "upsert", "commit")
_BATCH_ROWS = (1, 10, 100, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)


class Metrics:
    """Every metric of a replica, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = new_registry()
        self.messages = self._counter(
            "messages", "messages by outcome, counted after the commit", "topic", "outcome"
        )
        self.dead_letters = self._counter("dead_letters", "dead letters", "topic", "reason")
        self.dead_letters_cut = self._counter(
            "dead_letters_cut", "dead letters that were not kept whole", "topic", "reason"
        )
        self.dead_letter_table_bytes = self._gauge(
            "dead_letter_table_bytes", "size of the table of dead letters, of all groups"
        )
        self.dead_letter_table_rows = self._gauge(
            "dead_letter_table_rows",
            "rows of the table of dead letters, as PostgreSQL estimates them",
        )
        self.key_mismatches = self._counter(
            "key_mismatches", "readings whose key is not their device's id", "topic"
        )
        self.batch_rows = Histogram(
            "telemetry_batch_rows",
            "messages in a flushed batch",
            ["topic"],
            buckets=_BATCH_ROWS,
            registry=self.registry,
        )
        self.flush_seconds = Histogram(
            "telemetry_flush_seconds",
            "seconds from the first to the last step of a flush",
            ["topic"],
            buckets=_FLUSH_SECONDS,
            registry=self.registry,
        )
        self.stage_seconds = self._counter(
            "stage_seconds",
            "CPU seconds of decode and encode; seconds waiting for copy, upsert and commit",
            "stage",
        )
        self.flush_retries = self._counter(
            "flush_retries", "flushes that were tried again", "cause"
        )
        self.fenced_batches = self._counter(
            "fenced_batches", "batches dropped because another replica owns the partition", "topic"
        )
        self.days_made_late = self._counter(
            "history_partitions_made_late",
            "days of history that were made only when a reading needed them",
            "topic",
        )
        self.history_overdue_days = self._gauge(
            "history_overdue_days", "UTC days of history that are past the retention"
        )
        self.lag_messages = self._gauge(
            "lag_messages", "messages not yet stored", "topic", "partition"
        )
        self.lag_seconds = self._gauge(
            "lag_seconds", "age of the oldest message not yet stored", "topic", "partition"
        )
        self.group_lag_messages = self._gauge(
            "group_lag_messages",
            "offsets from the group's stored one to the log's end, in every partition",
            "topic",
            "partition",
        )
        self.open_transaction_messages = self._gauge(
            "open_transaction_messages",
            "offsets behind a producer's transaction that stayed open between two looks at the log",
            "topic",
            "partition",
        )
        self.topic_partitions = self._gauge(
            "topic_partitions", "partitions that the topic has", "topic"
        )
        self.group_members = self._gauge(
            "group_members", "members of the consumer group, replicas or not"
        )
        self.stopped_partitions = self._gauge(
            "stopped_partitions",
            "1: the partition cannot be read from its stored offset",
            "topic",
            "partition",
        )
        self.buffered_bytes = self._gauge(
            "buffered_bytes", "bytes of the records that wait or are being flushed"
        )
        self.database_available = self._gauge(
            "database_available", "1: PostgreSQL has done work since it was last away"
        )
        self.database_circuit = self._gauge(
            "database_circuit", "the circuit breaker before PostgreSQL: 1 for its state", "state"
        )
        self.database_refused = self._gauge(
            "database_refused",
            "partitions (of other work: tasks) that wait because PostgreSQL refuses",
            "work",
            "topic",
            "sqlstate",
        )
        self.upkeep_available = self._gauge(
            "upkeep_available",
            "1: the same as database_available, for rollups, days ahead and retention",
        )
        self.rollup_due = self._gauge(
            "rollup_due",
            "what waits to be rolled up: notes of flushes, and vehicles whose hours are over",
            "kind",
        )
        self.history_made_until = self._gauge(
            "history_made_until_seconds",
            "the end of the days of history that are made from today on, in seconds since 1970",
            "topic",
        )
        self.ready = self._gauge("ready", "1: /health/ready would answer 200")
        self.kafka_available = self._gauge("kafka_available", "1: Kafka answers")
        self.assigned_partitions = self._gauge("assigned_partitions", "partitions of this replica")
        self.http_refused = self._counter(
            "http_refused",
            "requests and connections that a bound turned away",
            "bound",
        )
        self.http_connections = self._gauge("http_connections", "connections of clients")
        self.http_certificate_expiry = self._gauge(
            "http_certificate_expiry_seconds",
            "when the certificate of HTTP_TLS_CERTFILE expires, in seconds since 1970; 0: no TLS",
        )
        self.devices = self._gauge(
            "devices",
            "devices that are registered, and devices that sent readings and are not",
            "stream",
            "registered",
        )
        self._announce()

    def count_flush(
        self,
        *,
        topic: str,
        seconds: float,
        rows: int,
        stored: int,
        duplicates: int,
        reasons: Tally[Reason],
        cut: Tally[Reason],
        key_mismatches: int,
    ) -> None:
        """Count one committed batch, whose flush took this many seconds."""
        self.flush_seconds.labels(topic).observe(seconds)
        self.key_mismatches.labels(topic).inc(key_mismatches)
        self.batch_rows.labels(topic).observe(rows)
        self.messages.labels(topic, "stored").inc(stored)
        self.messages.labels(topic, "duplicate").inc(duplicates)
        self.messages.labels(topic, "dead_lettered").inc(reasons.total())
        for reason, count in reasons.items():
            self.dead_letters.labels(topic, reason).inc(count)
        for reason, count in cut.items():
            self.dead_letters_cut.labels(topic, reason).inc(count)

    @contextmanager
    def timed(
        self, stage: str, *, clock: Callable[[], float] = time.perf_counter
    ) -> Iterator[None]:
        """Count the time that a stage takes: on the clock, or CPU time by `time.thread_time`."""
        begun = clock()
        try:
            yield
        finally:
            self.stage_seconds.labels(stage).inc(clock() - begun)

    def show_circuit(self, state: State) -> None:
        """Set the series of the breaker's state to 1 and the others to 0."""
        for one in State:
            self.database_circuit.labels(one).set(one is state)

    def forget_partition(self, topic: str, partition: int) -> None:
        """Stop showing the gauges of a partition that this replica no longer owns."""
        for gauge in (self.lag_messages, self.lag_seconds, self.stopped_partitions):
            gauge.remove_by_labels({"topic": topic, "partition": str(partition)})

    def _announce(self) -> None:
        """Show the series that are known in advance at 0, so that a rate over them starts there."""
        for stage in STAGES:
            self.stage_seconds.labels(stage)
        for stream in STREAMS:
            for outcome in ("stored", "duplicate", "dead_lettered"):
                self.messages.labels(stream.topic, outcome)
            for reason in Reason:
                self.dead_letters.labels(stream.topic, reason)
                self.dead_letters_cut.labels(stream.topic, reason)
            self.key_mismatches.labels(stream.topic)
            self.fenced_batches.labels(stream.topic)
            self.days_made_late.labels(stream.topic)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"telemetry_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"telemetry_{name}", text, labels, registry=self.registry)
