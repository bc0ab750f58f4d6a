"""The end of a long command by Ctrl-C or SIGTERM, once what is in flight is finished."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Stop:
    """Set by SIGINT or SIGTERM; the exit code is then the shell's for that signal."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.code = 0

    def set(self, number: int) -> None:
        self.code = 128 + number
        self.event.set()


@contextmanager
def stopped_by_signal() -> Iterator[Stop]:
    """Lend a Stop that the command looks at between two pieces of work."""
    stop, loop = Stop(), asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, stop.set, number)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
