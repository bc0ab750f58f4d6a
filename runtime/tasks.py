"""Ending background tasks."""

import asyncio
from collections.abc import Collection
from typing import Any

_AGAIN_S = 5.0


async def cancel(tasks: Collection["asyncio.Task[Any]"]) -> None:
    """Cancel the tasks again and again until all have ended; their results are not looked at.

    One cancellation may be lost: before Python 3.12 `asyncio.wait_for`, which the clients use,
    drops one that comes together with its result (CPython issue 86296). A loop that may pause for
    long asks `was_cancelled`, so that it need not be cancelled again.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_AGAIN_S)


def was_cancelled() -> bool:
    """Return whether this task has been cancelled, also if the cancellation was lost."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
