"""A batch → a flush: decoded in steps, so that the event loop can do other work meanwhile."""

import asyncio
import time

from consumer.batch import Batch
from consumer.flush.copies import Copies
from consumer.flush.decode import Decoded, decode_batch
from consumer.flush.flush import Flush
from consumer.metrics import Metrics
from telemetry.decode import TimeLimits
from telemetry.streams import Stream


class Decoder:
    """Decodes batches for one consumer group."""

    def __init__(
        self,
        *,
        consumer_group: str,
        retention_days: int,
        strips_schema_prefix: bool,
        metrics: Metrics,
    ) -> None:
        self._consumer_group = consumer_group
        self._retention_days = retention_days
        self._strips_schema_prefix = strips_schema_prefix
        self._metrics = metrics

    async def decode(
        self, batch: Batch, stream: Stream, *, partition: int, believed: int, copies: Copies
    ) -> Flush:
        """Return the flush of a batch of this partition, whose stored offset is `believed`."""
        limits = TimeLimits.at(time.time_ns() // 1_000, retention_days=self._retention_days)
        decoded = Decoded()
        steps = decode_batch(
            batch.records,
            stream,
            limits,
            decoded,
            strips_schema_prefix=self._strips_schema_prefix,
        )
        is_done = False
        while not is_done:
            with self._metrics.timed("decode", clock=time.thread_time):
                is_done = bool(next(steps, True))
            await asyncio.sleep(0)  # let the loop send what another flush has ready
        return Flush(
            consumer_group=self._consumer_group,
            stream=stream,
            partition=partition,
            believed=believed,
            next_offset=batch.next_offset,
            records=batch.records,
            decoded=decoded,
            copies=copies,
        )
