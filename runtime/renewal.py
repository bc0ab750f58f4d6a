"""Renewal of what was read from files: looked at every ten seconds, and at once on SIGHUP."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import structlog

log = structlog.get_logger()

LOOK_S = 10.0


class Renew(Protocol):
    """Reads files again if they have changed, or in any case if `asked`; says itself what fails."""

    def __call__(self, *, asked: bool) -> None: ...


async def keep_renewed(renewals: Sequence[Renew]) -> None:
    """Call each of them, for ever; returns at once if there are none.

    SIGHUP ends a process that has nothing to renew, as it ends any other.
    """
    if not renewals:
        return
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, asked.set)
    try:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await asked.wait()
            is_asked = asked.is_set()
            asked.clear()
            for renew in renewals:
                try:
                    await asyncio.to_thread(renew, asked=is_asked)
                except Exception:  # whatever a file may cause
                    # Else nothing would be renewed any more, and the next SIGHUP end the process.
                    log.exception("renewal_failed", help="it is tried again at the next look")
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
