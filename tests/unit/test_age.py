"""The age of what waits, whatever the records' own times say."""

import pytest

from consumer.age import Age

NOON = 1_780_000_000.0
"""Some instant, in seconds since 1970."""
HOUR = 3_600.0


def ms(at: float) -> int:
    return int(at * 1_000)


def caught_up(at: float) -> Age:
    age = Age(stored_at=at - HOUR)
    age.look(done=100, end=100, at=at)
    return age


def test_a_record_is_as_old_as_it_says_since_there_was_nothing_to_read() -> None:
    assert caught_up(NOON).seconds(ms(NOON + 3), now=NOON + 14) == 11


@pytest.mark.parametrize(
    "said_ms",
    [
        int(NOON),
        ms(NOON) * 1_000,
        ms(NOON - 0.001),
        ms(NOON + 14.001),
        0,
        -1,
        -(1 << 63),
        (1 << 63) - 1,
    ],
    ids=[
        "seconds",
        "microseconds",
        "just before the look",
        "in the future",
        "1970",
        "no time",
        "least",
        "most",
    ],
)
def test_a_time_at_which_it_cannot_have_come_is_not_believed(said_ms: int) -> None:
    assert caught_up(NOON).seconds(said_ms, now=NOON + 14) == 14


def test_after_an_outage_of_all_replicas_a_backlog_is_as_old_as_it_says() -> None:
    age = Age(stored_at=NOON - 5 * HOUR)
    assert age.seconds(ms(NOON - 4 * HOUR), now=NOON) == 4 * HOUR


def test_a_backlog_is_as_old_as_it_says_even_if_some_of_it_was_stored_a_moment_ago() -> None:
    assert Age(stored_at=NOON - 1).seconds(ms(NOON - 4 * HOUR), now=NOON) == 4 * HOUR


@pytest.mark.parametrize("said_ms", [int(NOON), ms(NOON) * 1_000, -1])
def test_a_backlog_without_a_time_is_as_old_as_the_last_thing_stored(said_ms: int) -> None:
    assert Age(stored_at=NOON - 5 * HOUR).seconds(said_ms, now=NOON) == 5 * HOUR


def test_a_clock_of_postgresql_that_is_ahead_makes_no_age_negative() -> None:
    assert Age(stored_at=NOON + 60).seconds(-1, now=NOON) == 0
    assert caught_up(NOON + 60).seconds(-1, now=NOON) == 0


def test_a_flow_that_is_never_quite_stored_is_caught_up_with_earlier_looks() -> None:
    """Two seconds behind at each look of five: no message may be taken for an hour old."""
    age = Age(stored_at=NOON)
    for at in range(0, 3_600, 5):
        age.look(done=max(0, at - 2), end=at + 1, at=NOON + at)
        waits = age.seconds(-1, now=NOON + at)
        assert waits <= 10
        assert waits >= 2 or at == 0


def test_a_backlog_grows_older_until_what_was_there_is_stored() -> None:
    age = caught_up(NOON)
    age.look(done=100, end=500, at=NOON + 5)
    age.look(done=300, end=900, at=NOON + 60)
    assert age.seconds(-1, now=NOON + 60) == 60
    age.look(done=500, end=1_000, at=NOON + 65)
    assert age.seconds(-1, now=NOON + 65) == 60
    assert age.seconds(ms(NOON + 50), now=NOON + 65) == 15
