"""What a process that is stuck says of itself before it ends."""

import asyncio
import threading
from pathlib import Path

from consumer.stacks import dump_stacks


async def waits_for_a_lock(lock: asyncio.Lock) -> None:
    await lock.acquire()


async def flushes(lock: asyncio.Lock) -> None:
    await waits_for_a_lock(lock)


def sleeps_in_a_thread(begun: threading.Event, ended: threading.Event) -> None:
    begun.set()
    ended.wait()


async def test_every_thread_and_every_task_is_shown_down_to_what_it_waits_for(
    tmp_path: Path,
) -> None:
    begun, ended, lock = threading.Event(), threading.Event(), asyncio.Lock()
    await lock.acquire()
    thread = threading.Thread(target=sleeps_in_a_thread, args=[begun, ended])
    thread.start()
    begun.wait()
    task = asyncio.create_task(flushes(lock), name="the-flush")
    await asyncio.sleep(0)  # it begins, and waits
    with (tmp_path / "stacks").open("w+") as file:
        dump_stacks(file)
        file.seek(0)
        text = file.read()
    ended.set()
    thread.join()
    task.cancel()
    assert "sleeps_in_a_thread" in text
    _, shown = text.split("task the-flush:")
    places = [shown.index(name) for name in ("in flushes", "in waits_for_a_lock", "in acquire")]
    assert places == sorted(places)
