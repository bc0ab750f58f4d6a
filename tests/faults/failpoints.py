"""The places at which a replica can be made to die or to be suspended, and how.

The service knows nothing of them: `tests.faults.armed` wraps the service's functions, and
those of the clients below it, before it runs the same `main`.
"""

import asyncio
import functools
import os
import signal
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncCopy

from consumer.flush.history import History
from consumer.flush.sink import Sink
from consumer.kafka.source import Source
from consumer.pipeline import Pipeline

ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
# Long enough for a client to have sent its statement, too short for the server to have answered it.
_SENT_S = 0.0005

AsyncFunction = Callable[..., Awaitable[Any]]


@dataclass
class Trap:
    """What springs when its point is passed for the n-th time; `byte` cuts a COPY short there."""

    point: str
    action: str = "kill"
    times: int = 1
    byte: int = 0

    def spring(self) -> None:
        """Die, or be suspended until SIGCONT."""
        self.times -= 1
        if self.times == 0:
            os.kill(os.getpid(), ACTIONS[self.action])

    def __str__(self) -> str:
        return f"{self.point}:{self.action}:{self.times}:{self.byte}"

    @classmethod
    def parse(cls, text: str) -> "Trap":
        """Return the trap that `str` has written."""
        point, action, times, byte = text.split(":")
        return cls(point, action, int(times), int(byte))


def trap_file(witness: Path, pid: int) -> Path:
    """Return the file, beside the witness's, in which a process finds a trap that is set later."""
    return witness.with_name(f"trap-{pid}")


def arm(trap: Trap) -> None:
    """Set the trap in this process."""
    POINTS[trap.point](trap)


def _wrap(owner: Any, name: str, wrapper: Callable[[AsyncFunction], AsyncFunction]) -> None:
    original = getattr(owner, name)
    setattr(owner, name, functools.wraps(original)(wrapper(original)))


def _before(
    owner: Any, name: str, when: Callable[[Any], bool] = lambda _args: True
) -> Callable[[Trap], None]:
    def set_trap(trap: Trap) -> None:
        def wrapper(original: AsyncFunction) -> AsyncFunction:
            async def trapped(*args: Any, **kwargs: Any) -> Any:
                if when(args):
                    trap.spring()
                return await original(*args, **kwargs)

            return trapped

        _wrap(owner, name, wrapper)

    return set_trap


def _after(
    owner: Any, name: str, when: Callable[[Any, Any], bool] = lambda _args, _result: True
) -> Callable[[Trap], None]:
    def set_trap(trap: Trap) -> None:
        def wrapper(original: AsyncFunction) -> AsyncFunction:
            async def trapped(*args: Any, **kwargs: Any) -> Any:
                result = await original(*args, **kwargs)
                if when(args, result):
                    trap.spring()
                return result

            return trapped

        _wrap(owner, name, wrapper)

    return set_trap


def _under_way(
    owner: Any, name: str, when: Callable[[Any], bool] = lambda _args: True
) -> Callable[[Trap], None]:
    """Spring while the question is on its way and not answered yet."""

    def set_trap(trap: Trap) -> None:
        def wrapper(original: AsyncFunction) -> AsyncFunction:
            async def trapped(*args: Any, **kwargs: Any) -> Any:
                if not when(args):
                    return await original(*args, **kwargs)
                task = asyncio.ensure_future(original(*args, **kwargs))
                await asyncio.wait({task}, timeout=_SENT_S)
                trap.spring()
                return await task

            return trapped

        _wrap(owner, name, wrapper)

    return set_trap


def _in_copy(trap: Trap) -> None:
    """Spring when this many bytes of a COPY have been handed to the server."""

    def wrapper(original: AsyncFunction) -> AsyncFunction:
        async def trapped(copy: AsyncCopy, data: bytes) -> Any:
            cut = min(trap.byte, len(data))
            await original(copy, data[:cut])
            trap.spring()
            return await original(copy, data[cut:])

        return trapped

    _wrap(AsyncCopy, "write", wrapper)


def _committing(trap: Trap) -> None:
    """Spring when COMMIT has been sent and its answer has not been read."""
    original = AsyncConnection._exec_command

    def trapped(
        connection: psycopg.AsyncConnection[Any], command: Any, *args: Any
    ) -> Generator[Any, Any, Any]:
        steps = original(connection, command, *args)
        if command != b"COMMIT":
            return (yield from steps)
        wanted = next(steps)  # it waits for the answer: the command is out
        trap.spring()
        try:
            while True:
                wanted = steps.send((yield wanted))
        except StopIteration as end:
            return end.value

    AsyncConnection._exec_command = trapped  # type: ignore[method-assign, assignment]  # the point


def _makes_a_day(args: Any) -> bool:
    query = args[1]
    return isinstance(query, str) and "make_day(" in query


def _is_the_last(args: Any) -> bool:
    """Return whether it is the drain of SIGTERM and not that of a rebalance."""
    pipeline, seconds = args
    return bool(seconds != pipeline._settings.revoke_timeout_s)


POINTS: dict[str, Callable[[Trap], None]] = {
    "polled": _after(Source, "fetch", lambda _args, fetched: bool(fetched)),
    "begun": _before(Sink, "_advance_offset"),
    "offset_moved": _after(Sink, "_advance_offset"),
    "copying": _in_copy,
    "copied": _after(History, "write"),
    "upserting": _under_way(Sink, "_upsert_current_state"),
    "upserted": _after(Sink, "_upsert_current_state"),
    "dead_letters_writing": _before(Sink, "_insert_dead_letters", lambda args: bool(args[3])),
    "dead_letters_written": _after(
        Sink, "_insert_dead_letters", lambda args, _result: bool(args[3])
    ),
    "committing": _committing,
    "committed": _after(Sink, "_transaction"),
    "offset_committing": _under_way(Source, "commit", lambda args: bool(args[1])),
    "offset_committed": _after(Source, "commit", lambda args, _result: bool(args[1])),
    "revoking": _before(Pipeline, "revoked", lambda args: bool(args[1])),
    "revoked": _after(Pipeline, "revoked", lambda args, _result: bool(args[1])),
    "day_making": _under_way(AsyncConnection, "execute", _makes_a_day),
    "day_made": _after(AsyncConnection, "execute", lambda args, _result: _makes_a_day(args)),
    "draining": _before(Pipeline, "drain", _is_the_last),
    "drained": _after(Pipeline, "drain", lambda args, _result: _is_the_last(args)),
}
"""Every kill point, in the order in which a batch passes them."""
