"""The lanes to the connections: which caller is next, and which is refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from api.postgres.lanes import Bounds, Busy, Lane, lane_sizes

PATIENCE_S = 10.0


class Asked:
    """A question of a caller that holds its place until it is let go."""

    def __init__(self, lane: Lane, caller: str) -> None:
        self._lane, self.caller = lane, caller
        self.begun = asyncio.Event()
        self._end = asyncio.Event()
        self.task = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        async with self._lane.place(self.caller):
            self.begun.set()
            await self._end.wait()

    async def end(self) -> None:
        self._end.set()
        await self.task


def lane(*, most: int = 2, of_one: int = 2, waiting: int = 100, wait_s: float = 60.0) -> Lane:
    bounds = Bounds(most=most, most_of_one=of_one, most_waiting=waiting, wait_s=wait_s)
    return Lane("question", at="answering questions", bounds=bounds)


@asynccontextmanager
async def asking(lane: Lane, *callers: str) -> AsyncIterator[list[Asked]]:
    """Ask for these callers, in their order; at the end all are cancelled."""
    async with asyncio.timeout(PATIENCE_S):
        asked = [Asked(lane, caller) for caller in callers]
        await settled()
        try:
            yield asked
        finally:
            for one in asked:
                one.task.cancel()
            await asyncio.gather(*(one.task for one in asked), return_exceptions=True)
    assert (lane.busy, lane.waiting) == (0, 0)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def begun(asked: list[Asked]) -> list[int]:
    return [place for place, one in enumerate(asked) if one.begun.is_set()]


def test_the_shares_of_the_lanes_add_up_to_the_pool() -> None:
    for connections in range(5, 201):
        shared = lane_sizes(connections)
        assert sum(shared.values()) == connections
        assert min(shared.values()) >= 1
        assert shared["question"] <= connections // 2


def test_each_lane_has_one_of_a_few_connections() -> None:
    for connections in range(1, 5):
        assert set(lane_sizes(connections).values()) == {1}


async def test_callers_take_turns_however_many_one_has_waiting() -> None:
    async with asking(one := lane(most=1), *"aaaaaabcb") as asked:
        order = []
        for _ in asked:
            (place,) = [place for place in begun(asked) if place not in order]
            order.append(place)
            await asked[place].end()
            await settled()
        assert "".join(asked[place].caller for place in order) == "aabcabaaa"
        # And the requests of each caller come in their order.
        for caller in "abc":
            own = [place for place in order if asked[place].caller == caller]
            assert own == sorted(own)
        assert one.busy == 0


async def test_no_caller_has_more_than_its_bound_and_others_pass_it() -> None:
    async with asking(one := lane(most=4, of_one=2), *"aaaabc") as asked:
        assert begun(asked) == [0, 1, 4, 5]
        assert (one.busy, one.waiting) == (4, 2)
        await asked[4].end()
        await settled()
        assert one.busy == 3
        await asked[0].end()
        await settled()
        assert begun(asked) == [0, 1, 2, 4, 5]


async def test_a_wait_that_is_too_long_is_busy() -> None:
    async with asking(one := lane(most=1, wait_s=0.001), "a", "b") as asked:
        with pytest.raises(Busy, match="in time"):
            await asked[1].task
        assert (one.busy, one.waiting) == (1, 0)


async def test_if_too_many_wait_the_caller_with_the_most_waits_loses_one() -> None:
    async with asking(one := lane(most=1, waiting=4), *"aaaaaa", "b", "c", "d", "e") as asked:
        for place, why in ((5, "already"), (4, "the most"), (3, "the most"), (2, "the most")):
            with pytest.raises(Busy, match=why):
                await asked[place].task
        with pytest.raises(Busy, match="already"):
            await asked[9].task  # each caller has one waiting, and this one came last
        assert one.waiting == 4
        await asked[0].end()
        await settled()
        assert begun(asked) == [0, 1]


async def test_a_caller_that_leaves_while_it_waits_keeps_no_place() -> None:
    async with asking(one := lane(most=1), *"abc") as asked:
        asked[1].task.cancel()
        await settled()
        assert one.waiting == 1
        await asked[0].end()
        await settled()
        assert begun(asked) == [0, 2]


async def test_a_caller_that_leaves_at_the_moment_of_its_turn_keeps_no_place() -> None:
    async with asking(lane(most=1), *"abc") as asked:
        # The turn is given and the caller leaves, before it has noticed either.
        asked[0].task.cancel()
        await asyncio.sleep(0)
        asked[1].task.cancel()
        await settled()
        assert begun(asked) == [0, 2]


async def test_giving_up_fails_all_waits() -> None:
    async with asking(one := lane(most=1), *"abb") as asked:
        one.give_up(lambda: ConnectionError("away"))
        for waiting in asked[1:]:
            with pytest.raises(ConnectionError):
                await waiting.task
        assert (one.busy, one.waiting) == (1, 0)
