"""Tasks that run for ever, and their end."""

import asyncio
from collections.abc import Collection
from typing import Any

_AGAIN_S = 5.0


async def cancel(tasks: Collection["asyncio.Task[Any]"]) -> None:
    """Cancel the tasks until they have ended; what they end with is theirs to say.

    Once is not enough: before Python 3.12 `asyncio.wait_for`, which clients make use of, drops a
    cancellation that comes together with its result (CPython's issue 86296).
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_AGAIN_S)
