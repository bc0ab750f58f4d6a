"""What raises an alert and what does not, checked by Prometheus' own tool; and where help is."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from deploy.replica import ROOT
from tests.needed import program
from tests.unit.pages import anchors_of

FOLDER = ROOT / "deploy" / "prometheus"
RUNBOOK = ROOT / "docs" / "runbook.md"
TESTS = sorted(path.name for path in FOLDER.glob("*_test.yml"))
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0][
    "rules"
]
NAMES = [rule["alert"] for rule in RULES]
SEVERITIES = {"critical", "warning"}

# An entry of the runbook is read in a hurry: what it is, what it costs, where to look, what to do.
PARTS = ["Meaning.", "Impact.", "Look.", "Mend."]
# Sections that no alarm leads to: they say how something is done.
HOW_TO = {"Dead letters by reason", "Finding and redriving", "Wrong readings are stored"}


def test_each_alert_is_raised_by_its_cause_and_by_nothing_else() -> None:
    promtool = program("promtool", package="prometheus")
    ended = subprocess.run(
        [promtool, "test", "rules", *TESTS],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_each_alert_has_a_case_in_which_it_is_quiet_then_raised_then_clears() -> None:
    seen = dict.fromkeys(NAMES, "")
    for file in TESTS:
        for case in yaml.safe_load((FOLDER / file).read_text())["tests"]:
            for name, states in _states(case).items():
                seen[name] = max(seen[name], states, key=lambda states: "-!-" in states)
    assert [name for name, states in seen.items() if "-!-" not in states] == []


def _states(case: dict[str, Any]) -> dict[str, str]:
    """Return by alert what a case expects of it in the order of time: `!` raised, `-` not."""
    states: dict[str, str] = {}
    for look in sorted(case["alert_rule_test"], key=lambda look: _seconds(look["eval_time"])):
        raised = "!" if look["exp_alerts"] else "-"
        states[look["alertname"]] = states.get(look["alertname"], "") + raised
    return states


def _seconds(time: str) -> int:
    units = {"h": 3_600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", time))


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_says_how_bad_it_is_and_leads_to_an_entry_of_the_runbook(
    rule: dict[str, Any],
) -> None:
    assert rule["labels"]["severity"] in SEVERITIES
    assert sorted(rule["annotations"]) == ["description", "runbook_url", "summary"]
    file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert file == "docs/runbook.md"
    assert anchor in anchors_of(RUNBOOK)
    assert anchor in ENTRIES


def _entries() -> dict[str, str]:
    """Return the text of each entry, by its anchor."""
    _, *sections = re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)
    titled = (section.partition("\n") for section in sections)
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-"): text
        for title, _, text in titled
        if title not in HOW_TO
    }


ENTRIES = _entries()


@pytest.mark.parametrize("anchor", ENTRIES)
def test_an_entry_of_the_runbook_has_its_parts_in_order(anchor: str) -> None:
    leads = re.findall(r"^\*\*(\w+\.)\*\*", ENTRIES[anchor], re.MULTILINE)
    assert [lead for lead in leads if lead in PARTS] == PARTS
