"""Shares: a bound for all callers, and one for each."""

import pytest

from api.shares import NoneLeft, Shares, ShareTaken


def test_one_caller_has_a_share_and_all_have_the_whole() -> None:
    shares = Shares(most=10, most_each=6)
    shares.take("a", 6)
    with pytest.raises(ShareTaken):
        shares.take("a")
    shares.take("b", 4)
    with pytest.raises(NoneLeft):
        shares.take("b")
    assert shares.taken == 10  # what is refused takes nothing
    shares.free("a", 6)
    shares.take("b", 2)
    shares.free("b", 6)
    assert shares.taken == 0


def test_callers_that_hold_nothing_are_forgotten() -> None:
    shares = Shares(most=10, most_each=10)
    for number in range(1_000):
        shares.take(f"caller-{number}", 3)
        shares.free(f"caller-{number}", 3)
        with pytest.raises(ShareTaken):
            shares.take(f"caller-{number}", 11)
        shares.take(f"caller-{number}", 0)
    assert len(shares) == 0
