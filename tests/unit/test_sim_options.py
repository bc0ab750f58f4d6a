"""The parsers of the options."""

import pytest
import typer
from typer.testing import CliRunner

from producer_sim.__main__ import app
from producer_sim.commands import options
from producer_sim.sending.transmit import system_clock
from telemetry.timestamps import SECOND_US, parse_timestamp


def test_a_start_may_be_given_as_a_time_before_now() -> None:
    before = system_clock()
    started = options.instant("-1h30m")
    hour_and_a_half = 5_400 * SECOND_US
    assert before - SECOND_US < started + hour_and_a_half <= system_clock()
    assert started % SECOND_US == 0
    assert options.instant("2026-02-10T10:00:00Z") == parse_timestamp("2026-02-10T10:00:00Z")


@pytest.mark.parametrize(
    "text",
    ["36501d", "999999999d", f"{'9' * 400}d", "36500d1s", f"1h{'9' * 400}.5m"],
    ids=lambda text: text[:12],
)
def test_a_duration_of_more_than_a_century_is_refused_in_a_line(text: str) -> None:
    for read, given in ((options.duration, text), (options.instant, f"-{text}")):
        with pytest.raises(typer.BadParameter) as refused:
            read(given)
        assert len(refused.value.message) < 100
    assert options.duration("36500d") == 36_500 * 86_400 * SECOND_US


def test_a_start_past_the_year_9999_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="past the year 9999"):
        options.instant("9999-12-31T23:59:59-23:59")


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--interval", "inf"],
        ["run", "--speed", "inf"],
        ["run", "--speed", "nan"],
        ["run", "--start", "-36500d"],
        ["run", "--rate", "max", "--duration", "36500d"],
        ["verify", "ledger", "--wait", "inf"],
    ],
)
def test_times_without_an_end_or_before_2000_are_wrong_use(arguments: list[str]) -> None:
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 2
    assert ended.exception is None or isinstance(ended.exception, SystemExit)


def test_wrong_use_ends_with_a_line_that_says_error() -> None:
    ended = CliRunner().invoke(app, ["run", "--api", "http://localhost"])
    assert ended.exit_code == 2
    assert ended.stderr == "error: --api needs --world: other devices need not be registered\n"


@pytest.mark.parametrize("text", ["-", "-1", "-0s", "--1h", "24h", "yesterday"])
def test_a_text_that_is_not_a_start_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        options.instant(text)


def test_a_fleets_name_may_contain_its_start() -> None:
    name = options.fleet_name("compose-{start}")
    start = parse_timestamp("2026-02-10T10:00:01.5Z")
    assert options.fleet_begun(name, start) == "compose-20260210T100001Z"
    assert options.fleet_begun(options.fleet_name("mine"), start) == "mine"


@pytest.mark.parametrize("text", ["", "{end}", "{start", "a b", "x" * 41, "x" * 30 + "{start}"])
def test_a_text_that_is_not_a_fleets_name_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        options.fleet_name(text)


def test_quirks_need_a_world() -> None:
    ended = CliRunner().invoke(app, ["run", "--quirks", "0.1"])
    assert ended.exit_code == 2
    assert ended.stderr.startswith("error: --quirks needs --world")
