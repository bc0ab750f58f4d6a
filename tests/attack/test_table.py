"""Results of attacks: kept, read again, judged, and listed in docs/security.md."""

from dataclasses import replace
from pathlib import Path

from deploy.replica import ROOT
from tests.attack import attacks  # noqa: F401  registers them
from tests.attack.attack import ANY_KEY, ANYBODY, ATTACKS, PRODUCER
from tests.attack.result import MOST_GROWTH, Result, faults_of_memory, missed_aims, read, write
from tests.attack.sight import Latency, Memory, Seen
from tests.attack.table import markdown_of

QUICK = Latency(count=100, failed=0, p50=1.0, p99=5.0, worst=9.0)
LATE = replace(QUICK, p99=5_000.0)
IDLE = Seen(QUICK, QUICK, QUICK, {"api": Memory(100, 101, was_killed=False)})
NAME = next(iter(ATTACKS))
ONE = Result(name=NAME, who=ANYBODY, seen=IDLE, said={"431": 1})


def test_kept_results_are_read_as_they_were(tmp_path: Path) -> None:
    write(tmp_path / "figures.json", [ONE])
    assert read(tmp_path / "figures.json") == {NAME: ONE}


def test_an_attack_is_judged_by_the_probe_that_its_aim_is_about() -> None:
    seen = replace(IDLE, live=LATE)
    assert len(missed_aims(ANYBODY, seen, IDLE)) == 1
    assert missed_aims(ANY_KEY, seen, IDLE) == missed_aims(PRODUCER, seen, IDLE) == []
    assert len(missed_aims(ANY_KEY, replace(IDLE, state=LATE), IDLE)) == 1


def test_a_delay_of_an_idle_site_is_deducted() -> None:
    seen = replace(IDLE, live=LATE)
    assert missed_aims(ANYBODY, seen, seen) == []


def test_a_failed_probe_misses_the_aim() -> None:
    assert len(missed_aims(ANYBODY, replace(IDLE, live=replace(QUICK, failed=2)), IDLE)) == 1


def test_memory_is_limited_for_attacks_without_a_key() -> None:
    seen = replace(IDLE, memory={"api": Memory(100, 101 + MOST_GROWTH, was_killed=False)})
    assert len(faults_of_memory(ANYBODY, seen)) == 1
    assert faults_of_memory(ANY_KEY, seen) == []
    killed = replace(IDLE, memory={"api": Memory(100, 100, was_killed=True)})
    assert len(faults_of_memory(ANY_KEY, killed)) == 1


def test_the_table_has_every_attack_and_says_what_is_not_measured_yet() -> None:
    broken = replace(ONE, faults=["it broke"])
    for result, verdict in ((broken, "broke (it broke): "), (ONE, "held: ")):
        lines = markdown_of({NAME: result}).splitlines()
        [row] = [line for line in lines if f"`{NAME}`" in line]
        assert verdict in row
        assert len(lines) == 2 + len(ATTACKS) + 1
        assert sum("| to be measured |" in line for line in lines) == len(ATTACKS)


def test_the_page_names_every_attack() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    assert [name for name in ATTACKS if f"`{name}`" not in page] == []
