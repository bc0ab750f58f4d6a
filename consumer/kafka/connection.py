"""A connection to a broker that can break without harm to anything else.

It takes the password as it is when it is opened: aiokafka's clients keep the one of their start.

uvloop raises RuntimeError at a write to a closed transport; asyncio lets it pass. aiokafka expects
only OSError there: its task that fetches would end, and the replica with it.
See https://github.com/aio-libs/aiokafka/issues/1038
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

from runtime.kafka.settings import Password


class Connection(AIOKafkaConnection):  # type: ignore[misc]  # aiokafka's classes are untyped
    """aiokafka's connection, which breaks in the same way on either event loop."""

    def __init__(
        self, *address: Any, sasl_plain_password: str | None = None, **options: Any
    ) -> None:
        if isinstance(sasl_plain_password, Password):
            sasl_plain_password = sasl_plain_password.secret.get_secret_value()
        super().__init__(*address, sasl_plain_password=sasl_plain_password, **options)

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
