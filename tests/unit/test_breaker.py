"""The breaker lets all attempts through, or one trial at a time, or none."""

import asyncio
import contextlib

import pytest

from consumer import breaker
from consumer.breaker import Breaker, State

Change = tuple[State, BaseException | None]


class Server:
    """What stands behind a breaker: it says when an attempt is under way, and how it ends."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.breaker = Breaker(
            longest_pause=0.01,
            is_failure=lambda error: isinstance(error, OSError),
            on_change=lambda state, error: self.changes.append((state, error)),
        )
        self.under_way = 0
        self.most_under_way = 0
        self.reached = asyncio.Event()
        self.answering = asyncio.Event()
        self.error: BaseException | None = None

    async def ask(self, *, is_probe: bool = False) -> None:
        async with self.breaker.attempt(is_probe=is_probe):
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            self.reached.set()
            try:
                await self.answering.wait()
            finally:
                self.under_way -= 1
            if self.error is not None:
                raise self.error

    async def fail(self, error: BaseException) -> None:
        """Answer one attempt with this error, and the next ones when told to."""
        self.answering.set()
        self.error = error
        with pytest.raises(type(error)):
            await self.ask()
        self.error = None
        self.answering.clear()
        self.reached.clear()
        self.most_under_way = 0

    @property
    def states(self) -> list[State]:
        return [state for state, _ in self.changes]


async def test_a_closed_breaker_lets_all_through_at_once() -> None:
    server = Server()
    asking = [asyncio.create_task(server.ask()) for _ in range(5)]
    await server.reached.wait()
    await asyncio.sleep(0)  # one turn of the loop: no attempt queues
    assert server.under_way == 5
    server.answering.set()
    await asyncio.gather(*asking)
    assert server.states == [State.CLOSED]


async def test_a_failure_opens_it_and_is_told() -> None:
    server, refused = Server(), ConnectionRefusedError()
    await server.fail(refused)
    assert server.changes == [(State.OPEN, refused)]


async def test_an_open_breaker_lets_one_trial_at_a_time_through_and_its_success_all() -> None:
    server = Server()
    await server.fail(ConnectionRefusedError())
    asking = [asyncio.create_task(server.ask()) for _ in range(5)]
    await server.reached.wait()
    assert server.breaker.state is State.HALF_OPEN
    assert server.most_under_way == 1
    server.answering.set()
    await asyncio.gather(*asking)
    assert server.states == [State.OPEN, State.HALF_OPEN, State.CLOSED]


async def test_a_trial_that_fails_leaves_the_next_one_to_the_next_in_the_queue() -> None:
    server = Server()
    await server.fail(ConnectionRefusedError())
    server.error = ConnectionResetError()
    server.answering.set()
    ended = await asyncio.gather(*(server.ask() for _ in range(5)), return_exceptions=True)
    assert ended == [server.error] * 5
    assert server.most_under_way == 1
    assert server.states == [State.OPEN, *[State.HALF_OPEN, State.OPEN] * 5]


async def test_pauses_grow_with_every_failure_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[int] = []

    def pause(count: int, *, longest: float) -> float:
        failures.append(count)
        return 0.0

    monkeypatch.setattr(breaker, "pause", pause)
    server = Server()
    for _ in range(3):
        await server.fail(ConnectionRefusedError())
    server.answering.set()
    await server.ask()
    await server.fail(ConnectionRefusedError())
    server.answering.set()
    await server.ask()
    assert failures == [1, 2, 3, 1]


async def test_a_cancelled_trial_opens_it_again_and_frees_the_queue() -> None:
    server = Server()
    await server.fail(ConnectionRefusedError())
    trial = asyncio.create_task(server.ask())
    await server.reached.wait()
    waiting = asyncio.create_task(server.ask())
    trial.cancel()
    await asyncio.wait([trial])
    assert server.changes[-1] == (State.OPEN, None)
    server.answering.set()
    await waiting
    assert server.breaker.state is State.CLOSED


async def test_an_attempt_that_is_cancelled_in_the_queue_frees_it_too() -> None:
    server = Server()
    await server.fail(ConnectionRefusedError())
    pausing = asyncio.create_task(server.ask())
    await asyncio.sleep(0)  # one turn of the loop: it has the queue, and pauses
    pausing.cancel()
    await asyncio.wait([pausing])
    server.answering.set()
    await server.ask()
    assert server.breaker.state is State.CLOSED


async def test_an_error_that_is_not_an_outage_closes_it_because_the_server_has_answered() -> None:
    server = Server()
    await server.fail(ConnectionRefusedError())
    await server.fail(ValueError())
    assert server.states == [State.OPEN, State.HALF_OPEN, State.CLOSED]


@pytest.mark.parametrize("late", [None, ConnectionResetError()])
async def test_what_began_before_a_failure_and_ends_after_it_says_nothing_of_now(
    late: Exception | None,
) -> None:
    server = Server()
    earlier = asyncio.create_task(server.ask())
    await server.reached.wait()
    with pytest.raises(OSError, match="gone"):
        async with server.breaker.attempt():
            raise OSError("gone")
    server.error = late
    server.answering.set()
    (ended,) = await asyncio.gather(earlier, return_exceptions=True)
    assert ended is late
    assert server.states == [State.OPEN]


async def test_one_outage_is_told_once_however_late_some_hear_of_it() -> None:
    server = Server()
    earlier = asyncio.create_task(server.ask())
    await server.reached.wait()
    for error in (OSError("gone"), None):
        with contextlib.suppress(OSError):
            async with server.breaker.attempt():
                if error is not None:
                    raise error
    server.error = TimeoutError()
    server.answering.set()
    (ended,) = await asyncio.gather(earlier, return_exceptions=True)
    assert ended is server.error
    assert server.states == [State.OPEN, State.HALF_OPEN, State.CLOSED]


async def test_a_probe_that_succeeds_proves_nothing_while_others_wait() -> None:
    server = Server()
    await server.fail(OSError("disk full"))
    probing = asyncio.create_task(server.ask(is_probe=True))
    await server.reached.wait()
    flushing = asyncio.create_task(server.ask())
    await asyncio.sleep(0)  # one turn of the loop: it queues
    server.answering.set()
    await probing
    assert server.states == [State.OPEN, State.HALF_OPEN, State.OPEN]
    await flushing
    assert server.states[3:] == [State.HALF_OPEN, State.CLOSED]


async def test_a_probe_alone_closes_it() -> None:
    server = Server()
    await server.fail(OSError("gone"))
    server.answering.set()
    await server.ask(is_probe=True)
    assert server.breaker.state is State.CLOSED
