"""When a replica that stores nothing is to end."""

import pytest

from consumer.errors import Stuck
from consumer.watchdog import Watchdog


def test_a_replica_without_a_sign_of_life_for_too_long_is_stuck() -> None:
    watchdog = Watchdog(timeout_s=300.0, well_at=0.0)
    watchdog.check(now=300.0, last_sign_of_life=0.0)
    with pytest.raises(Stuck, match="none was stored for 301 s"):
        watchdog.check(now=301.0, last_sign_of_life=0.0)


def test_a_sign_of_life_counts_from_when_it_was_given() -> None:
    watchdog = Watchdog(timeout_s=300.0, well_at=0.0)
    watchdog.check(now=500.0, last_sign_of_life=200.0)
    with pytest.raises(Stuck):
        watchdog.check(now=501.0, last_sign_of_life=200.0)


def test_a_good_reason_to_store_nothing_counts_until_the_next_check() -> None:
    watchdog = Watchdog(timeout_s=300.0, well_at=0.0)
    watchdog.excuse(now=1_000.0)
    watchdog.check(now=1_300.0, last_sign_of_life=0.0)
    with pytest.raises(Stuck, match="for 301 s"):
        watchdog.check(now=1_301.0, last_sign_of_life=0.0)


def test_the_start_does_not_make_a_replica_seem_stuck() -> None:
    Watchdog(timeout_s=1.0, well_at=5_000.0).check(now=5_001.0, last_sign_of_life=4_000.0)
