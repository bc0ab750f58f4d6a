"""Connections to brokers that break, and clients that are stopped, without taking others down.

A write to a transport that is closed raises RuntimeError in uvloop, where asyncio lets it pass.
aiokafka expects only OSError there: its task that fetches would end, and the replica with it.
See aiokafka's issue 1038.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError


class Connection(AIOKafkaConnection):  # type: ignore[misc]  # aiokafka's classes are untyped
    """aiokafka's own, on either event loop."""

    def send(self, *request: Any, **options: Any) -> Any:
        with self._breaking():
            return super().send(*request, **options)

    def _send_sasl_token(self, *token: Any, **options: Any) -> Any:
        with self._breaking():
            return super()._send_sasl_token(*token, **options)

    @contextmanager
    def _breaking(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(str(error)) from error


async def stop(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer of aiokafka, however early.

    It cancels its tasks and waits for them, and they take that well unless they have not begun:
    then the cancellation would be ours, and end whoever waits for the stop without a word.
    """
    await asyncio.sleep(0)
    await consumer.stop()
