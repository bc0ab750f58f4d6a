"""What is sent to the topics past the API: honest readings, and anything else."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer
from confluent_kafka import KafkaError, Message

from deploy.stored_offsets import Place, stored_offsets
from runtime.kafka.topics import DEFAULT_PARTITIONS
from telemetry.streams import METER, STREAMS
from tests import kafka_clients
from tests.api.readings import encode, meter, stamp, vehicle
from tests.record_batches import send_batch

if TYPE_CHECKING:
    from tests.attack.site import Site

ATTACKED: Place = (METER.topic, 7)
"""The partition that a producer attacks; all others are to go on."""
ALL: list[Place] = [
    (stream.topic, number) for stream in STREAMS for number in range(DEFAULT_PARTITIONS)
]
ZSTD = 4
_PATIENCE_S = 10.0


class Topics:
    """Sends to the topics of a site, and looks how far its group has come."""

    def __init__(self, site: "Site") -> None:
        self._site = site
        self._sent = 0

    def send(self, place: Place, values: Sequence[bytes], *, codec: int = 0) -> int:
        """Send values as one batch and return the offset of the first."""

        async def work() -> int:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._site.servers.kafka.bootstrap, max_request_size=8 << 20
            )
            await producer.start()
            try:
                records = [(b"k", value, ()) for value in values]
                return await send_batch(producer, *place, records, codec)
            finally:
                await producer.stop()

        return asyncio.run(work())

    def send_honest(self, places: Sequence[Place], *, each: int = 5) -> dict[Place, int]:
        """Send readings of the fleet to these partitions and return the offset after each's last.

        No two have the same device and time.
        """
        ends: dict[Place, int] = {}

        def done(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            place = (message.topic() or "", message.partition() or 0)
            ends[place] = max(ends.get(place, 0), (message.offset() or 0) + 1)

        with kafka_clients.producer(self._site.servers.kafka.bootstrap) as producer:
            for topic, partition in places:
                for _ in range(each):
                    self._sent += 1
                    pair = 1 + self._sent % self._site.fleet.pairs
                    at = stamp(datetime.now(UTC))
                    value = (
                        meter(f"mtr-{pair}", timestamp=at)
                        if topic == METER.topic
                        else vehicle(f"veh-{pair}", timestamp=at)
                    )
                    producer.produce(topic, encode(value), partition=partition, on_delivery=done)
            producer.flush()
        return ends

    def stored(self) -> dict[Place, int]:
        """Return the next offset of each partition, as the group has stored it."""
        with self._site.session() as session:
            return stored_offsets(session, self._site.name)

    def left(self, ends: dict[Place, int]) -> dict[Place, int]:
        """Return how many records of these partitions are not yet stored, if there are any."""
        stored = self.stored()
        left = {place: end - stored[place] for place, end in ends.items()}
        return {place: number for place, number in left.items() if number > 0}

    def wait_until_stored(
        self, ends: dict[Place, int], *, seconds: float = _PATIENCE_S
    ) -> dict[Place, int]:
        """Wait until all is stored and return what is not."""
        deadline = time.monotonic() + seconds
        while (left := self.left(ends)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def expect_progress(
        self, *, but: Place | None = None, seconds: float = _PATIENCE_S, when: str = "meanwhile"
    ) -> None:
        """Honest readings of every other partition are stored."""
        ends = self.send_honest([place for place in ALL if place != but])
        begun = time.monotonic()
        left = self.wait_until_stored(ends, seconds=seconds)
        self._site.expect(not left, f"not stored {when}: {len(left)} of {len(ends)} partitions")
        self._site.remarks.append(
            f"{len(ends) - len(left)} partitions stored {when} in {time.monotonic() - begun:.1f} s"
        )
