"""Background tasks end when they are cancelled, even if a cancellation is lost."""

import asyncio
from contextlib import suppress

import pytest

from runtime import tasks


async def deaf(times: int) -> None:
    """Run for ever, and ignore this many cancellations."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not times:
                raise
            times -= 1


async def test_a_task_that_drops_a_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "_AGAIN_S", 0.01)
    running = [asyncio.create_task(deaf(times)) for times in (0, 1, 3)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await tasks.cancel(running)
    assert all(task.cancelled() for task in running)


async def test_a_task_that_has_ended_is_no_reason_to_wait() -> None:
    ended = asyncio.create_task(asyncio.sleep(0))
    await ended
    await tasks.cancel([ended])
    await tasks.cancel([])


async def test_a_loop_that_asks_learns_of_a_cancellation_that_was_lost() -> None:
    async def loses_it() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert tasks.was_cancelled()

    async def is_late() -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        return tasks.was_cancelled()

    losing = asyncio.create_task(loses_it())
    await asyncio.sleep(0)
    losing.cancel()
    await losing
    assert not await asyncio.create_task(is_late())
