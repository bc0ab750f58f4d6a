"""How redriven letters are sent, and what the broker answered to each.

A batch is refused as a whole, and what follows it from the same producer is out of sequence;
aiokafka keeps its count all the same. So what was refused is sent again, a letter at a time, each
by a new producer: that shows which letter is at fault.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    RecordListTooLargeError,
    UnknownError,
    UnknownTopicOrPartitionError,
)

from consumer.dead_letters.headers import restored
from consumer.dead_letters.table import Letter
from consumer.kafka.records import Headers
from runtime.kafka.brokers import explained
from runtime.kafka.settings import KafkaSettings

START_PATIENCE_S = 10.0
PAGE_PATIENCE_S = 30.0
STOP_PATIENCE_S = 5.0
LARGEST_REQUEST = 100 << 20  # the broker's own limit; what the topic takes is the broker's to say

NOT_WHOLE = "not whole: only the beginning was kept; Kafka may still have it at its place"
NAME_IS_NOT_UTF8 = "a header's name is not UTF-8, which the client cannot send"

# What is wrong with one letter and no other. UnknownError stands for every code that aiokafka has
# no name for: a compacted topic refuses a letter without a key with one.
_REFUSED = {
    MessageSizeTooLargeError: "larger than the topic takes",
    RecordListTooLargeError: "larger than the topic takes",
    InvalidTimestampError: "its time is refused by the topic",
    UnknownError: "refused by the broker",
}
# The last is the answer to what follows a refused batch.
_DOUBTFUL = (*_REFUSED, OutOfOrderSequenceNumber)

_Answer = asyncio.Future[object]


@dataclass(slots=True)
class Tally:
    """How many letters were sent and marked, and why others were left out.

    `left_out` counts by cause; `examples` has the first letter of each cause.
    """

    sent: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Letter] = field(default_factory=dict)

    def leave_out(self, letter: Letter, cause: str) -> None:
        self.left_out[cause] += 1
        self.examples.setdefault(cause, letter)

    @property
    def seen(self) -> int:
        return self.sent + self.left_out.total()


@dataclass(slots=True)
class Answers:
    """What the broker answered to letters, and what keeps it from answering about the rest."""

    acknowledged: list[Letter] = field(default_factory=list)
    refused: list[tuple[Letter, KafkaError]] = field(default_factory=list)
    failure: KafkaError | None = None


class Delivery:
    """Sends letters at a rate (messages a second; None: no limit) until `stopping` is set."""

    def __init__(
        self, *, kafka: KafkaSettings, rate: int | None, stopping: asyncio.Event, tally: Tally
    ) -> None:
        self._kafka = kafka
        self._rate = rate
        self._stopping = stopping
        self._tally = tally
        self._producer: AIOKafkaProducer | None = None
        self._topics: set[str] = set()
        self._due = 0.0

    async def start(self) -> None:
        """Start a producer, in the place of the one before; raises KafkaError."""
        await self.aclose()
        self._producer = AIOKafkaProducer(
            **self._kafka.aiokafka(),
            acks="all",
            enable_idempotence=True,
            max_request_size=LARGEST_REQUEST,
        )
        try:
            async with explained(self._kafka), asyncio.timeout(START_PATIENCE_S):
                await self._producer.start()
                metadata = await self._producer.client.fetch_all_metadata()
                self._topics = metadata.topics()
        except TimeoutError:
            raise KafkaTimeoutError(f"no answer within {START_PATIENCE_S:.0f} s") from None

    async def aclose(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            async with asyncio.timeout(STOP_PATIENCE_S):
                await producer.stop()
        except TimeoutError:  # an idempotent producer never gives up what it has to send
            await producer.client.close()

    async def deliver(self, page: list[Letter]) -> Answers:
        """Send a page, then what is refused of it once more, a letter at a time.

        What cannot be sent is left out in the tally. Raises UnknownTopicOrPartitionError.
        """
        for letter in page:  # the client would wait for the topic, and say nothing
            if letter.topic not in self._topics:
                raise UnknownTopicOrPartitionError(f"the topic {letter.topic} does not exist")
        answers = await self._send(page)
        try:
            for letter, _ in answers.refused:
                if answers.failure is not None:
                    return answers
                await self.start()
                alone = await self._send([letter])
                answers.acknowledged += alone.acknowledged
                answers.failure = alone.failure
                for _, error in alone.refused:
                    self._tally.leave_out(letter, _REFUSED.get(type(error), str(error)))
            if answers.refused:
                await self.start()
        except KafkaError as error:
            answers.failure = error  # what was acknowledged is to be marked all the same
        return answers

    async def _send(self, letters: list[Letter]) -> Answers:
        """Send letters in their order and wait for the answers, within the patience for a page."""
        under_way: list[tuple[Letter, _Answer]] = []
        failure: KafkaError | None = None
        try:
            async with asyncio.timeout(PAGE_PATIENCE_S):
                async for letter, answer in self._handed_over(letters):
                    under_way.append((letter, answer))
                if under_way:
                    await asyncio.wait([answer for _, answer in under_way])
        except TimeoutError:
            failure = KafkaTimeoutError(f"no answer within {PAGE_PATIENCE_S:.0f} s")
        except KafkaError as error:
            failure = error
        return _answers(under_way, failure)

    async def _handed_over(self, letters: list[Letter]) -> AsyncIterator[tuple[Letter, _Answer]]:
        """Yield each letter that can be sent, with the future that holds the broker's answer."""
        for letter in letters:
            if not letter.is_whole:
                self._tally.leave_out(letter, NOT_WHOLE)
                continue
            await self._pace()
            if self._stopping.is_set():
                return
            headers = restored(letter.headers)
            if _have_utf8_names(headers):
                yield letter, await self._hand_over(letter, headers)
            else:
                self._tally.leave_out(letter, NAME_IS_NOT_UTF8)

    async def _hand_over(self, letter: Letter, headers: Headers) -> _Answer:
        """Give a letter to the producer, which picks the partition by its key.

        Its time is now. The original record's time stays in the table: Kafka drops segments by the
        times in them and may refuse an old one, and lag in seconds is the age of the message in
        this queue, not of the reading.
        """
        producer = self._producer
        assert producer is not None, "start() comes first"  # noqa: S101
        answer: _Answer
        if letter.key is not None or letter.value is not None:
            answer = await producer.send(
                letter.topic, value=letter.value, key=letter.key, headers=headers
            )
            return answer
        # aiokafka's send() refuses a message with neither key nor value; its batches do not.
        batch = producer.create_batch()
        batch.append(timestamp=None, key=None, value=None, headers=headers)
        partitions = sorted(await producer.partitions_for(letter.topic))
        answer = await producer.send_batch(
            batch,
            letter.topic,
            partition=random.choice(partitions),  # noqa: S311  no secret
        )
        return answer

    async def _pace(self) -> None:
        """Wait for the next letter's turn, or for the end."""
        if self._rate is None:
            return
        now = asyncio.get_running_loop().time()
        self._due = max(self._due, now)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._due):
                await self._stopping.wait()
        self._due += 1 / self._rate


def _answers(under_way: list[tuple[Letter, _Answer]], failure: KafkaError | None) -> Answers:
    answers = Answers(failure=failure)
    for letter, answer in under_way:
        if answer.cancel():
            continue  # it did not come in time
        error = answer.exception()
        if error is None:
            answers.acknowledged.append(letter)
        elif isinstance(error, _DOUBTFUL):
            answers.refused.append((letter, error))
        elif isinstance(error, KafkaError):
            answers.failure = answers.failure or error
        else:
            raise error
    return answers


def _have_utf8_names(headers: Headers) -> bool:
    try:
        for name, _ in headers:
            name.encode()
    except UnicodeEncodeError:
        return False
    return True
