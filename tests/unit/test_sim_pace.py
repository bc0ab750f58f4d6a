"""The pace of sending, the values of options, and the partitions of keys."""

import numpy as np
import pytest
import typer
from aiokafka.partitioner import DefaultPartitioner

from producer_sim.commands import options
from producer_sim.sending.pace import Pace, Policy
from producer_sim.sending.partitions import Partitions
from telemetry.timestamps import DAY_US, SECOND_US

NOW = 1_770_717_600_000_000


def due_every(seconds: float, count: int, start: int = NOW) -> np.ndarray:
    return start + (np.arange(count) * seconds * SECOND_US).astype(np.int64)


def pace_of(policy: Policy, start_us: int = NOW) -> Pace:
    return Pace(policy=policy, start_us=start_us, now_us=NOW)


def test_at_speed_1_readings_are_sent_when_they_are_due() -> None:
    pace = pace_of(Policy.of_run(speed=None, rate=None))
    due = due_every(1, 100)
    assert pace.allowed(due, NOW) == 1
    assert pace.allowed(due, NOW + 10 * SECOND_US) == 11
    assert 0 < pace.pause(int(due[1]), NOW) <= 0.2


def test_at_speed_60_a_minute_passes_in_a_second() -> None:
    start = NOW - 3_600 * SECOND_US
    pace = pace_of(Policy.of_run(speed=60, rate=None), start)
    due = due_every(1, 3_600, start)
    assert pace.allowed(due, NOW + SECOND_US) == 61
    assert pace.pause(int(due[1]), NOW) == pytest.approx(1 / 60)


def test_no_reading_is_sent_before_its_own_time() -> None:
    due = due_every(1, 100)
    for policy in (Policy.of_run(speed=60, rate=None), Policy.of_run(speed=None, rate=np.inf)):
        assert pace_of(policy).allowed(due, NOW + 5 * SECOND_US) == 6
    assert pace_of(Policy.free(rate=np.inf)).allowed(due, NOW) == 100


def test_a_rate_alone_ignores_the_clock_and_is_a_limit_in_the_long_run() -> None:
    policy = Policy.of_run(speed=None, rate=1_000)
    due = due_every(0.0001, 100_000, NOW - DAY_US)
    pace = pace_of(policy, NOW - DAY_US)
    sent = 0
    for millisecond in range(1, 2_001):
        count = pace.allowed(due[sent:], NOW + millisecond * 1_000)
        pace.spend(count)
        sent += count
    assert sent == pytest.approx(2_000, rel=0.06)


def test_a_rate_does_not_catch_up_after_a_pause() -> None:
    pace = pace_of(Policy.of_run(speed=None, rate=1_000), NOW - DAY_US)
    assert pace.allowed(due_every(0, 100_000, NOW - DAY_US), NOW + 60 * SECOND_US) == 100


def test_with_speed_and_rate_the_slower_one_decides() -> None:
    start = NOW - 3_600 * SECOND_US
    pace = pace_of(Policy.of_run(speed=10, rate=1_000_000), start)
    assert pace.allowed(due_every(1, 3_600, start), NOW + SECOND_US) == 11


@pytest.mark.parametrize(
    ("speed", "rate", "duration", "back"),
    [
        (None, None, None, 0),
        (None, None, 3_600 * SECOND_US, 0),
        (0.5, None, 60 * SECOND_US, 0),
        (1.0, 100.0, 60 * SECOND_US, 0),
        (60.0, None, 3_600 * SECOND_US, 3_600 * SECOND_US),
        (None, np.inf, 3_600 * SECOND_US, 3_600 * SECOND_US),
        (None, np.inf, None, 30 * DAY_US),
    ],
)
def test_the_default_start_keeps_readings_out_of_the_future(
    speed: float | None, rate: float | None, duration: int | None, back: int
) -> None:
    policy = Policy.of_run(speed=speed, rate=rate)
    assert policy.default_start(NOW + 1, duration) == NOW - back


def test_options_are_parsed_and_wrong_ones_refused() -> None:
    assert options.duration("90s") == 90 * SECOND_US
    assert options.duration("1h30m") == 5_400 * SECOND_US
    assert options.duration("2d") == 2 * DAY_US
    assert options.rate("20000") == 20_000
    assert options.rate("max") == options.rate("0") == np.inf
    assert options.instant("2026-02-10T10:00:00Z") == NOW
    assert options.fleet_name("north.1") == "north.1"
    assert options.device_id("uci-household") == "uci-household"
    for read, text in (
        (options.duration, "90"),
        (options.duration, "0s"),
        (options.duration, "s"),
        (options.rate, "-1"),
        (options.rate, "nan"),
        (options.rate, "fast"),
        (options.instant, "2026-02-10"),
        (options.fleet_name, "a b"),
        (options.fleet_name, ""),
        (options.device_id, "x" * 65),
    ):
        with pytest.raises(typer.BadParameter):
            read(text)


def test_a_key_goes_to_the_partition_that_other_clients_choose() -> None:
    partitions = Partitions(count=12)
    available = list(range(12))
    for number in range(200):
        key = f"mtr-{number:05d}".encode()
        assert partitions[key] == DefaultPartitioner()(key, available, available)
    # From Kafka's own tests of its hash: murmur2("foobar") = -790332482.
    assert Partitions(count=1_000_000_007)[b"foobar"] == (-790332482 & 0x7FFFFFFF) % 1_000_000_007


def test_values_without_a_key_are_spread_over_all_partitions() -> None:
    partitions = Partitions(count=12)
    chosen = [partitions.without_key(str(number).encode()) for number in range(300)]
    assert set(chosen) == set(range(12))
    assert chosen == [partitions.without_key(str(number).encode()) for number in range(300)]
    assert partitions.without_key(None) in range(12)
