"""A connection to a broker that can break without harm to anything else.

uvloop raises RuntimeError at a write to a closed transport; asyncio lets it pass. aiokafka expects
only OSError there: its task that fetches would end, and the replica with it.
See https://github.com/aio-libs/aiokafka/issues/1038
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError


class Connection(AIOKafkaConnection):  # type: ignore[misc]  # aiokafka's classes are untyped
    """aiokafka's connection, which breaks in the same way on either event loop."""

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
