"""Which devices are registered: looked up in a flush's own transaction, and cached for a while."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from consumer.dead_letters.letter import DeadLetter
from consumer.flush.columns import Columns, Mask
from consumer.postgres.connection import Connection
from consumer.postgres.statements import StreamStatements
from telemetry.reasons import Reason
from telemetry.streams import Stream

# A device that is taken out of the registry counts as registered for this long at most. If there
# are more devices than are remembered, the others are looked up each time.
REMEMBERED_S = 60.0
MOST_REMEMBERED = 1_000_000


class Registered:
    """The registered devices of both streams that this replica knows."""

    def __init__(
        self,
        *,
        most: int = MOST_REMEMBERED,
        remembered_s: float = REMEMBERED_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._remembered_s = remembered_s
        self._clock = clock
        self._known: dict[str, set[str]] = {}
        self._forget_at = float("-inf")

    async def unregistered(
        self,
        connection: Connection,
        stream: Stream,
        statements: StreamStatements,
        columns: Columns,
    ) -> Mask:
        """Return for each row whether its device is not registered.

        Every device that is not known is looked up, so one that was registered a moment ago counts.
        """
        known = self._remembered(stream)
        asked = [device for device in columns.devices if device not in known]
        if not asked:
            return np.zeros(len(columns), np.bool_)
        cursor = await connection.execute(statements.find_registered, [asked])
        found = {device for (device,) in await cursor.fetchall()}
        if len(known) + len(found) <= self._most:
            known |= found
        missing = set(asked) - found
        is_missing = np.fromiter(map(missing.__contains__, columns.devices), np.bool_)
        rows: Mask = is_missing[columns.codes]
        return rows

    def _remembered(self, stream: Stream) -> set[str]:
        now = self._clock()
        if now >= self._forget_at:
            self._known.clear()
            self._forget_at = now + self._remembered_s
        return self._known.setdefault(stream.name, set())


def unregistered_letters(stream: Stream, positions: Sequence[int]) -> list[DeadLetter]:
    """Return the dead letters of readings whose devices are not registered."""
    detail = f"{stream.id_field}: the {stream.name} is not registered"
    return [DeadLetter(position, Reason.UNREGISTERED_DEVICE, detail) for position in positions]
