"""A game day's parts that need no servers: its list, its choice, and the times of its alerts."""

import typer
import yaml
from typer.testing import CliRunner

from tests.gameday import __main__ as gameday
from tests.gameday.breakages import BREAKAGES
from tests.gameday.prometheus import RULES, faster, longest_wait


def test_every_breakage_has_an_alert_that_tells_of_it() -> None:
    named = {rule["alert"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}
    assert {one.alert for one in BREAKAGES.values()} <= named


def test_all_times_of_the_rules_pass_faster_and_nothing_else_changes() -> None:
    text = RULES.read_text()
    before, after = yaml.safe_load(text), yaml.safe_load(faster(text, 10))
    rules = zip(before["groups"][0]["rules"], after["groups"][0]["rules"], strict=True)
    changed = {old["alert"]: (old, new) for old, new in rules if old != new}
    old, new = changed["NoProgress"]
    assert (old["for"], new["for"]) == ("5m", "30s")
    assert new["expr"] == old["expr"].replace("[5m]", "[30s]")
    _, unknown = changed["UnknownDevices"]
    assert "offset 360s" in unknown["expr"]
    assert all(old["annotations"] == new["annotations"] for old, new in changed.values())
    assert longest_wait("NoConsumer", 10) == 60 + 2 * 6


def run(*words: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(gameday.main)
    result = CliRunner().invoke(app, words)
    return result.exit_code, result.output


def test_the_list_names_what_may_break_and_an_unknown_name_is_wrong_use() -> None:
    code, listed = run("--list")
    assert code == 0
    assert all(name in listed for name in BREAKAGES)
    code, said = run("--only", "nothing")
    assert (code, said) == (2, "error: no breakage is named nothing; see --list\n")
