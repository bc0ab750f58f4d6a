"""Redriving: dead letters go back to their topic, to be judged once more.

A page of letters is claimed, sent, marked and committed in one transaction. A mark follows the
broker's acknowledgement, so no letter is marked that was not sent. A crash between the two leaves
up to a page unmarked, and the next redrive sends it again. That does no harm: the consumer counts
a second copy as a duplicate, or dead-letters it once more.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from psycopg.rows import class_row

from consumer.dead_letters.delivery import Delivery, Tally
from consumer.dead_letters.table import (
    READ_AT_ONCE,
    READ_BYTES_AT_ONCE,
    Choice,
    Letter,
    on_chosen,
    places_of,
)
from consumer.postgres.connection import Connection
from consumer.postgres.statements import statement
from runtime.kafka.settings import KafkaSettings

LONGEST_CLAIM_S = 5.0  # a slow redrive takes small pages, because a claim is an open transaction
# Twice what a page, and the letters of it that are sent one by one, may keep a transaction idle.
IDLE_TIMEOUT_S = 120


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
        """`again`: send also what was redriven before; `rate` is messages a second at most."""
        self._connection = connection
        self._choice = choice if again else replace(choice, redriven=False)
        self._stopping = stopping
        self._tally = tally
        self._delivery = Delivery(kafka=kafka, rate=rate, stopping=stopping, tally=tally)
        self._page = READ_AT_ONCE
        if rate is not None:
            self._page = max(1, min(READ_AT_ONCE, int(rate * LONGEST_CLAIM_S)))

    async def run(self, *, on_page: Callable[[], None]) -> None:
        """Send page after page until none is left or `stopping` is set; the tally keeps count.

        Raises KafkaError if the broker does not answer in time, and psycopg.Error. What was
        acknowledged before is marked.
        """
        # The database's clock, because it dates the letters too.
        cursor = await self._connection.execute(
            "SELECT now(), set_config('idle_in_transaction_session_timeout', %s, false)",
            [f"{IDLE_TIMEOUT_S}s"],
        )
        row = await cursor.fetchone()
        begun = row[0] if row else None
        after = {"after_topic": "", "after_partition": -1, "after_offset": -1}
        try:
            await self._delivery.start()
            while not self._stopping.is_set():
                last = await self._redrive_page({"begun": begun, **after})
                if last is None:
                    return
                after = {
                    "after_topic": last.topic,
                    "after_partition": last.partition,
                    "after_offset": last.record_offset,
                }
                on_page()
        finally:
            await self._delivery.aclose()

    async def _redrive_page(self, place: dict[str, object]) -> Letter | None:
        """Claim, send and mark the page after a place; return its last letter, None at the end."""
        async with self._connection.transaction():
            page = await self._claim(place)
            answers = await self._delivery.deliver(page)
            await self._mark(answers.acknowledged)
        self._tally.sent += len(answers.acknowledged)
        if answers.failure is not None:
            raise answers.failure
        return page[-1] if page else None

    async def _claim(self, place: dict[str, object]) -> list[Letter]:
        async with self._connection.cursor(row_factory=class_row(Letter)) as cursor:
            await cursor.execute(
                on_chosen("claim_dead_letters"),
                self._choice.parameters()
                | place
                | {"page": self._page, "page_bytes": READ_BYTES_AT_ONCE},
            )
            return await cursor.fetchall()

    async def _mark(self, letters: list[Letter]) -> None:
        if letters:
            places = places_of((one.topic, one.partition, one.record_offset) for one in letters)
            await self._connection.execute(
                statement("mark_dead_letters"),
                {"consumer_group": self._choice.consumer_group, **places},
            )
