"""The stacks of all threads and tasks, which show where a process is stuck."""

import asyncio
import faulthandler
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any, TextIO


def dump_stacks(file: TextIO) -> None:
    """Write the stacks of all threads, then those of the running loop's tasks; no values.

    The file must have a descriptor: `faulthandler` writes to that.
    """
    print("threads:", file=file, flush=True)
    faulthandler.dump_traceback(file, all_threads=True)
    for task in asyncio.all_tasks():
        print(f"task {task.get_name()}:", file=file)
        stack = traceback.StackSummary.extract(_frames(task.get_coro()))
        print("".join(stack.format()), end="", file=file)
    file.flush()


def _frames(awaitable: Any) -> Iterator[tuple[FrameType, int]]:
    """Yield the frames of a task from its coroutine down to what it waits for.

    A task knows only the outermost (Task.get_stack). From Python 3.14 on,
    asyncio.print_call_graph shows what this does.
    """
    while awaitable is not None:
        for frame, below in (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom")):
            if found := getattr(awaitable, frame, None):
                yield found, found.f_lineno
                awaitable = getattr(awaitable, below)
                break
        else:
            return
