"""Rates: a sliding minute for each caller, in bounded memory."""

import pytest

from api.middleware.rates import Rates, network_of


def test_each_caller_has_its_own_rate() -> None:
    rates = Rates(3)
    assert [rates.admits("a", 30.0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert rates.admits("b", 30.0)


def test_the_minute_slides_and_does_not_begin_anew() -> None:
    rates = Rates(60)
    assert all(rates.admits("a", 59.0) for _ in range(60))
    # A second later all but a part of them still counts.
    assert not rates.admits("a", 60.0)
    assert [rates.admits("a", 75.0) for _ in range(20)].count(True) == 15
    # A minute without anything is forgotten.
    assert all(rates.admits("a", 240.0) for _ in range(60))


def test_refused_requests_are_not_counted() -> None:
    rates = Rates(1)
    assert rates.admits("a", 0.0)
    assert not any(rates.admits("a", 1.0) for _ in range(100))
    assert rates.admits("a", 61.0)


def test_0_is_unbounded() -> None:
    rates = Rates(0)
    assert all(rates.admits("a", 0.0) for _ in range(1_000))


def test_memory_is_bounded_and_earlier_callers_keep_their_rate() -> None:
    rates = Rates(2, most_callers=100)
    assert rates.admits("first", 0.0)
    admitted = sum(rates.admits(f"flood-{number}", 0.0) for number in range(10_000))
    assert admitted == 101  # one each for 99, and 2 for all the others together
    assert len(rates._counts) <= 101
    assert rates.admits("first", 0.0)
    assert not rates.admits("first", 0.0)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("-", "-"),
        ("no:address", "no:address"),
    ],
)
def test_a_64_of_ipv6_is_one_caller(address: str, network: str) -> None:
    assert network_of(address) == network
