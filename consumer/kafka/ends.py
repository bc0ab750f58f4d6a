"""Where the log of every partition ends: one look an interval, shared by all that ask.

The clients here are not the source's. So a source that has stopped fetching without a word, as
aiokafka's issues 727, 880 and 1037 report, is still seen to be behind.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from consumer.kafka.client import stop
from consumer.offsets import Offsets
from runtime.kafka.brokers import explained
from runtime.kafka.settings import KafkaSettings
from telemetry.streams import BY_TOPIC

_PATIENCE_S = 10.0
_TOPICS = frozenset(BY_TOPIC)


@dataclass(frozen=True, slots=True)
class Look:
    """What Kafka answered.

    `asked_at` is before all of it, in seconds since 1970. `high` is the offset after the last
    record, `stable` the offset up to which no transaction is open. `missing` are topics that do
    not exist.
    """

    asked_at: float
    high: Offsets
    stable: Offsets
    missing: frozenset[str]


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Kafka did not answer in time, or with an error."""

    error: Exception


class Ends:
    """Looks once an interval; all that await `next` are given the same look.

    `owned` returns the partitions of this replica. Those in `others` are looked at too, as long as
    Kafka answers for all of them. Otherwise they are dropped, and have to be listed anew.
    """

    def __init__(
        self,
        *,
        kafka: KafkaSettings,
        interval_s: float,
        owned: Callable[[], Collection[TopicPartition]],
    ) -> None:
        self._kafka = kafka
        self._interval_s = interval_s
        self._owned = owned
        self.others: list[TopicPartition] = []
        # Topics that may be gone: a look would wait for the ends of their logs.
        self._doubted: frozenset[str] = frozenset()
        self._clients: dict[str, AIOKafkaConsumer] = {}
        self._starting = asyncio.Lock()
        self._next: asyncio.Future[Look | Unanswered] | None = None

    async def aclose(self) -> None:
        """Close the clients; the next look opens others."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await stop(client)

    async def next(self) -> Look | Unanswered:
        """Return the next look, once it has been taken."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._next)  # others wait for the same

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(self._interval_s)
            look = await self._look()
            waiting, self._next = self._next, None
            if waiting is not None:
                waiting.set_result(look)

    async def earliest(self, partitions: Collection[TopicPartition]) -> Offsets:
        """Return where the logs begin; raises KafkaError."""
        client = await self._client("read_committed")
        earliest: Offsets = await client.beginning_offsets(list(partitions))
        return earliest

    async def _look(self) -> Look | Unanswered:
        while True:
            try:
                async with explained(self._kafka), asyncio.timeout(_PATIENCE_S):
                    return await self._ask()
            except (KafkaError, OSError, TimeoutError) as error:
                await self.aclose()
                if not self.others and self._doubted == _TOPICS:
                    return Unanswered(error)
                # One may be gone, or without a leader: that says nothing of the rest.
                self.others, self._doubted = [], _TOPICS

    async def _ask(self) -> Look:
        asked_at, owned = time.time(), set(self._owned())
        unseen = _TOPICS - {one.topic for one in owned} | self._doubted
        committed = await self._client("read_committed")
        missing = unseen - await committed.topics() if unseen else unseen
        if any(one.topic in missing for one in self.others):
            self.others = []
        partitions = sorted(one for one in owned.union(self.others) if one.topic not in missing)
        # In this order: what comes in between is not taken for an open transaction.
        uncommitted = await self._client("read_uncommitted")
        high: Offsets = await uncommitted.end_offsets(partitions)
        stable: Offsets = await committed.end_offsets(partitions)
        self._doubted = missing
        return Look(asked_at, high, stable, missing)

    async def _client(self, isolation_level: str) -> AIOKafkaConsumer:
        async with self._starting:
            if isolation_level not in self._clients:
                client = AIOKafkaConsumer(**self._kafka.aiokafka(), isolation_level=isolation_level)
                try:
                    await client.start()
                except BaseException:  # a cancelled start leaves connections too
                    await stop(client)
                    raise
                self._clients[isolation_level] = client
        return self._clients[isolation_level]
