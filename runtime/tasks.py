"""Ending background tasks."""

import asyncio
from collections.abc import Collection
from typing import Any

_AGAIN_S = 5.0


async def cancel(tasks: Collection["asyncio.Task[Any]"]) -> None:
    """Cancel the tasks again and again until all have ended; their results are not looked at.

    One cancellation may be lost: before Python 3.12 `asyncio.wait_for`, which the clients use,
    drops one that comes together with its result (CPython issue 86296).
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_AGAIN_S)
