"""Redriving: dead letters go back to their topic, to be judged once more.

A page of letters is claimed, sent, marked and committed in one transaction. A mark follows the
broker's acknowledgement, so no letter is marked that was not sent; a crash between the two leaves
up to a page unmarked, and the next redrive sends it again. That does no harm: the consumer counts
a second copy as a duplicate, or dead-letters it once more.
"""

import asyncio
import base64
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

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
from psycopg.rows import class_row

from consumer.dead_letters.table import READ_AT_ONCE, Choice, Letter, StoredHeader, on_chosen
from consumer.postgres.connection import Connection
from consumer.postgres.statements import statement
from runtime.brokers import explained
from runtime.settings import KafkaSettings

START_PATIENCE_S = 10.0
PAGE_PATIENCE_S = 30.0
STOP_PATIENCE_S = 5.0
LONGEST_CLAIM_S = 5.0  # a slow redrive takes small pages, for a claim is an open transaction
# Twice what a page, and the letters of it that are sent one by one, may keep a transaction idle.
IDLE_TIMEOUT_S = 120
LARGEST_REQUEST = 100 << 20  # the broker's own limit; what the topic takes is the broker's to say

NOT_WHOLE = "not whole: only the beginning was kept; Kafka may still have it at its place"
NAME_IS_NOT_UTF8 = "a header's name is not UTF-8, which the client cannot send"

# What is wrong with one letter and no other. What aiokafka has no name for is unknown to it:
# a compacted topic refuses a letter without a key so.
_REFUSED = {
    MessageSizeTooLargeError: "larger than the topic takes",
    RecordListTooLargeError: "larger than the topic takes",
    InvalidTimestampError: "its time is refused by the topic",
    UnknownError: "refused by the broker",
}
# The last is said to what follows a refused batch.
_DOUBTFUL = (*_REFUSED, OutOfOrderSequenceNumber)

Headers = list[tuple[str, bytes | None]]
Answer = asyncio.Future[object]


@dataclass(slots=True)
class Tally:
    """What became of the letters: how many were sent and marked, and why others were left out.

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
    """What the broker said to letters that were sent, and what keeps it from answering the rest."""

    acknowledged: list[Letter] = field(default_factory=list)
    refused: list[tuple[Letter, KafkaError]] = field(default_factory=list)
    failure: KafkaError | None = None


class Redrive:
    """One run over the letters of a choice that were there when it began."""

    def __init__(
        self,
        *,
        connection: Connection,
        kafka: KafkaSettings,
        choice: Choice,
        again: bool,
        rate: int | None,
        stopping: asyncio.Event,
        tally: Tally,
    ) -> None:
        self._connection = connection
        self._kafka = kafka
        self._choice = choice if again else replace(choice, redriven=False)
        self._rate = rate
        self._stopping = stopping
        self._tally = tally
        self._producer: AIOKafkaProducer | None = None
        self._topics: set[str] = set()
        self._due = 0.0

    async def run(self, *, on_page: Callable[[], None]) -> None:
        """Send letter by letter until none is left or `stopping` is set; the tally keeps count.

        Raises KafkaError where the broker does not answer in time, and psycopg.Error. What was
        acknowledged before is marked.
        """
        # The database's clock, which also dates the letters.
        cursor = await self._connection.execute(
            "SELECT now(), set_config('idle_in_transaction_session_timeout', %s, false)",
            [f"{IDLE_TIMEOUT_S}s"],
        )
        row = await cursor.fetchone()
        place = {
            "begun": row[0] if row else None,
            "after_topic": "",
            "after_partition": -1,
            "after_offset": -1,
        }
        try:
            await self._renew_producer()
            while not self._stopping.is_set():
                last = await self._redrive_page(place)
                if last is None:
                    return
                place |= {
                    "after_topic": last.topic,
                    "after_partition": last.partition,
                    "after_offset": last.record_offset,
                }
                on_page()
        finally:
            await self._close_producer()

    async def _redrive_page(self, place: dict[str, object]) -> Letter | None:
        """Claim, send and mark the page after `place`; return its last letter, None at the end."""
        async with self._connection.transaction():
            async with self._connection.cursor(row_factory=class_row(Letter)) as cursor:
                await cursor.execute(
                    on_chosen("claim_dead_letters"),
                    self._choice.parameters() | place | {"page": self._page_size},
                )
                page = await cursor.fetchall()
            for letter in page:  # else the client waits for the topic, and says no word
                if letter.topic not in self._topics:
                    raise UnknownTopicOrPartitionError(f"there is no topic {letter.topic}")
            answers = await self._deliver(page)
            await self._mark(answers.acknowledged)
        self._tally.sent += len(answers.acknowledged)
        if answers.failure is not None:
            raise answers.failure
        return page[-1] if page else None

    @property
    def _page_size(self) -> int:
        if self._rate is None:
            return READ_AT_ONCE
        return max(1, min(READ_AT_ONCE, int(self._rate * LONGEST_CLAIM_S)))

    async def _mark(self, letters: list[Letter]) -> None:
        if not letters:
            return
        await self._connection.execute(
            statement("mark_dead_letters"),
            {
                "consumer_group": self._choice.consumer_group,
                "topics": [letter.topic for letter in letters],
                "partitions": [letter.partition for letter in letters],
                "offsets": [letter.record_offset for letter in letters],
            },
        )

    async def _deliver(self, page: list[Letter]) -> Answers:
        """Send a page, and whatever is refused of it once more, a letter at a time.

        A batch is refused as a whole, and what follows it from the same producer is out of
        sequence; aiokafka keeps its count all the same. A new producer tells who is at fault.
        """
        answers = await self._send(page)
        try:
            for letter, _ in answers.refused:
                if answers.failure is not None:
                    return answers
                await self._renew_producer()
                alone = await self._send([letter])
                answers.acknowledged += alone.acknowledged
                answers.failure = alone.failure
                for _, error in alone.refused:
                    self._tally.leave_out(letter, _REFUSED.get(type(error), str(error)))
            if answers.refused:
                await self._renew_producer()
        except KafkaError as error:
            answers.failure = error  # what was acknowledged is to be marked all the same
        return answers

    async def _send(self, letters: list[Letter]) -> Answers:
        """Send letters in their order and wait for the answers, within the patience for a page."""
        under_way: list[tuple[Letter, Answer]] = []
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

    async def _handed_over(self, letters: list[Letter]) -> AsyncIterator[tuple[Letter, Answer]]:
        """Yield each letter that can be sent, with the future that holds the broker's answer."""
        for letter in letters:
            if not letter.is_whole:
                self._tally.leave_out(letter, NOT_WHOLE)
                continue
            await self._pace()
            if self._stopping.is_set():
                return
            headers = original_headers(letter.headers)
            if headers is None:
                self._tally.leave_out(letter, NAME_IS_NOT_UTF8)
            else:
                yield letter, await self._hand_over(letter, headers)

    async def _hand_over(self, letter: Letter, headers: Headers) -> Answer:
        """Give a letter to the producer, by its key as any producer would.

        Its time is now, and not the original record's, which the table keeps: Kafka drops
        segments by the times in them and may refuse an old one, and lag in seconds is the age of
        the message in this queue, not of the reading.
        """
        producer = self._producer
        assert producer is not None, "run() starts one"  # noqa: S101
        answer: Answer
        if letter.key is not None or letter.value is not None:
            answer = await producer.send(
                letter.topic, value=letter.value, key=letter.key, headers=headers
            )
            return answer
        # aiokafka's send() refuses a message of neither key nor value; its batches do not.
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

    async def _renew_producer(self) -> None:
        await self._close_producer()
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

    async def _close_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            async with asyncio.timeout(STOP_PATIENCE_S):
                await producer.stop()
        except TimeoutError:  # an idempotent producer never gives up what it has to send
            await producer.client.close()


def _answers(under_way: list[tuple[Letter, Answer]], failure: KafkaError | None) -> Answers:
    answers = Answers(failure=failure)
    for letter, answer in under_way:
        if answer.cancel():
            continue  # it did not come in time, and nobody waits for it any more
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


def original_headers(stored: list[StoredHeader]) -> Headers | None:
    """Return the headers as they came; None where a name is not UTF-8."""
    headers = []
    for shown, value, *raw in stored:
        try:
            name = base64.b64decode(raw[0] or "").decode() if raw else shown or ""
        except UnicodeDecodeError:
            return None
        headers.append((name, None if value is None else base64.b64decode(value)))
    return headers
