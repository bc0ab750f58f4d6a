"""Waiting for what another task of the same loop brings about."""

import asyncio
from collections.abc import Callable

from tests.asked import PATIENCE_S


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds, which is looked at all the time; raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)
