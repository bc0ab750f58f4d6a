"""What options hold, from text."""

import pytest
import typer

from producer_sim import options
from producer_sim.transmit import system_clock
from telemetry.timestamps import SECOND_US, parse_timestamp


def test_a_start_may_be_so_long_ago() -> None:
    before = system_clock()
    started = options.instant("-1h30m")
    hour_and_a_half = 5_400 * SECOND_US
    assert before - SECOND_US < started + hour_and_a_half <= system_clock()
    assert started % SECOND_US == 0
    assert options.instant("2026-02-10T10:00:00Z") == parse_timestamp("2026-02-10T10:00:00Z")


@pytest.mark.parametrize("text", ["-", "-1", "-0s", "--1h", "24h", "yesterday"])
def test_what_is_no_start_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        options.instant(text)


def test_a_fleet_may_be_named_by_its_start() -> None:
    name = options.fleet_name("compose-{start}")
    start = parse_timestamp("2026-02-10T10:00:01.5Z")
    assert options.fleet_begun(name, start) == "compose-20260210T100001Z"
    assert options.fleet_begun(options.fleet_name("mine"), start) == "mine"


@pytest.mark.parametrize("text", ["", "{end}", "{start", "a b", "x" * 41, "x" * 30 + "{start}"])
def test_what_is_no_name_of_a_fleet_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        options.fleet_name(text)
