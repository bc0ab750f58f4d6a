"""How far a long command has come, on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from runtime.terminal import errors


@contextmanager
def progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show how many are done of so many, where standard error is a terminal."""
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
