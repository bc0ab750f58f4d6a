"""What was read from files is read again, at every look and on SIGHUP."""

import asyncio
import os
import signal

import pytest

from runtime import renewal


async def test_files_are_looked_at_regularly_and_at_once_on_sighup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: asyncio.Queue[bool] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def renew(*, asked: bool) -> None:
        loop.call_soon_threadsafe(looks.put_nowait, asked)

    monkeypatch.setattr(renewal, "LOOK_S", 0.01)
    async with asyncio.timeout(20):
        task = asyncio.create_task(renewal.keep_renewed([renew]))
        assert await looks.get() is False
        assert await looks.get() is False
        # The next look is days away.
        monkeypatch.setattr(renewal, "LOOK_S", 1e6)
        while not looks.empty() or await idle(looks):
            looks.get_nowait()
        os.kill(os.getpid(), signal.SIGHUP)
        assert await looks.get() is True
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Without anything to renew SIGHUP keeps its meaning.
        await renewal.keep_renewed([])
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


async def test_one_that_raises_ends_neither_the_others_nor_the_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: asyncio.Queue[bool] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def renew(*, asked: bool) -> None:
        loop.call_soon_threadsafe(looks.put_nowait, asked)

    def broken(*, asked: bool) -> None:
        raise OverflowError

    monkeypatch.setattr(renewal, "LOOK_S", 0.01)
    async with asyncio.timeout(20):
        task = asyncio.create_task(renewal.keep_renewed([broken, renew]))
        for _ in range(3):
            assert await looks.get() is False
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def idle(looks: "asyncio.Queue[bool]") -> bool:
    """Return whether a look still comes that had begun."""
    try:
        async with asyncio.timeout(0.1):
            looks.put_nowait(await looks.get())
    except TimeoutError:
        return False
    return True
