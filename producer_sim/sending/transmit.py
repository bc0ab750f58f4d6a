"""The loop that gives records to the sender at their pace, until they end or a stop."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from aiokafka.errors import KafkaError

from producer_sim.devices.records import Records
from producer_sim.ledger.book import Book
from producer_sim.sending.pace import Pace
from producer_sim.sending.sender import Sender, SenderError
from producer_sim.sending.stop import Stop
from runtime.kafka.brokers import Availability, Unreachable
from runtime.kafka.settings import KafkaSettings
from runtime.kafka.topics import create_topics

FLUSH_SECONDS = 30.0
_MOST_AT_ONCE = 8_192
_RETRY_SECONDS = 1.0
_ANSWER_SECONDS = 5.0
"""aiokafka would wait for a silent broker for 40 s, and a stop for that."""
_ROOM_SECONDS = 0.1

Clock = Callable[[], int]
"""Microseconds since 1970."""


def system_clock() -> int:
    return time.time_ns() // 1_000


def create_missing_topics(kafka: KafkaSettings, stop: Stop, say: Callable[[str], None]) -> bool:
    """Create missing topics, waiting for the broker; return False if stopped meanwhile.

    Raises SenderError if the broker refuses.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it logs every attempt
    availability = Availability()
    while not stop.requested:
        try:
            asyncio.run(_create_topics(kafka))
        except KafkaError as error:
            if not error.retriable:
                raise SenderError(f"the topics cannot be created: {error}") from error
            if availability.missed(error):
                say(f"waiting for the broker at {kafka.bootstrap_servers}: {error}")
            time.sleep(_RETRY_SECONDS)
        else:
            return True
    return False


async def _create_topics(kafka: KafkaSettings) -> None:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await create_topics(kafka)
    except TimeoutError as error:
        what = f"no answer within {_ANSWER_SECONDS:g} s"
        raise Unreachable(what, is_refusal=False) from error


def transmit(
    chunks: Iterable[Records],
    *,
    sender: Sender,
    book: Book,
    pace: Pace,
    stop: Stop,
    clock: Clock = system_clock,
    on_progress: Callable[[int], None] = lambda _due: None,
) -> None:
    """Send all records when they are due; nothing is sent after the return.

    A message without a report by then never gets one. `on_progress` is called often, with the
    simulated time in microseconds. Raises SenderError if the producer cannot go on.
    """
    try:
        for chunk in chunks:
            rest = chunk
            while len(rest) and not stop.requested:
                now = clock()
                count = min(pace.allowed(rest.due, now), _MOST_AT_ONCE)
                if count and sender.has_room:
                    sender.send(rest.between(0, count), now)
                    pace.spend(count)
                    rest = rest.between(count, len(rest))
                    sender.wait(0.0)
                else:
                    pause = _ROOM_SECONDS if count else pace.pause(int(rest.due[0]), now)
                    sender.wait(pause)
                book.settle(now)
                if len(rest):
                    on_progress(int(rest.due[0]))
            if stop.requested:
                break
        sender.flush(FLUSH_SECONDS)
    finally:
        sender.close()
