"""A bar that shows how far a long command has come."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from runtime.terminal import errors


@contextmanager
def progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar if standard error is a terminal; lend a call that tells it how many are done."""
    bar = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )
    task = bar.add_task("", total=total)
    with bar:
        yield lambda done: bar.update(task, completed=done)
