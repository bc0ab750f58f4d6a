"""Many requests to the product at once: a few at a time, with their progress on a terminal."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from producer_sim.product import AT_ONCE, ProductError

Work = Coroutine[Any, Any, None]


async def all_of(work: Iterable[Work], *, total: int, what: str, console: Console | None) -> None:
    """Run all of the work, `AT_ONCE` pieces at a time; the first ProductError ends it."""
    waiting = iter(work)
    with _progress(what, total, console) as done:

        async def worker() -> None:
            for one in waiting:
                await one
                done()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(worker())
        except* ProductError as errors:
            raise _first(errors) from None


@contextmanager
def _progress(what: str, total: int, console: Console | None) -> Iterator[Callable[[], None]]:
    """Yield a function to call for each finished piece; a terminal shows the progress."""
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    hidden = console is None or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


def _first(errors: BaseExceptionGroup[ProductError]) -> ProductError:
    one: BaseException = errors
    while isinstance(one, BaseExceptionGroup):
        one = one.exceptions[0]
    assert isinstance(one, ProductError)  # noqa: S101  nothing else is in the group
    return one
