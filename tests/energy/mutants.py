"""Deliberate defects of the arithmetic, one for each rule: they show that its tests can fail.

    python -m tests.energy.mutants              every mutant
    python -m tests.energy.mutants step dip     those with such a word in their names

Each is applied to a copy of the code, in which the tests of the arithmetic have to fail.
"""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = (
    "tests/energy/test_pure_edges.py",
    "tests/energy/test_pure_table.py",
    "tests/energy/test_pure_against_slow.py",
    "tests/energy/test_pure_properties.py",
)
# A failing example is enough: it need not be a small one.
CONFTEST = """
import hypothesis

hypothesis.settings.register_profile(
    "mutant", deadline=None, database=None, max_examples=300,
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
)
hypothesis.settings.load_profile("mutant")
"""


@dataclass(frozen=True)
class Mutant:
    """One text of one file of energy/ replaced."""

    name: str
    file: str
    before: str
    after: str


MUTANTS = [
    # What a device is, and since when
    Mutant("possible without the tenth more", "device", "return 11 * round", "return 10 * round"),
    Mutant("no bound for the unrated", "device", "10 * UNRATED_KW", "10**6 * UNRATED_KW"),
    Mutant("facts from after their date", "device", 'at, side="right"', 'at, side="left"'),
    Mutant("today's facts for all time", "readings", "[one.places(at[begin:end])]", "[-1]"),
    Mutant("a gap of twice the interval is unknown", "device", "2 * self.interval_us", "0"),
    Mutant("a gap of five minutes is unknown", "device", "max(5 * MINUTE_US, ", "max(MINUTE_US, "),
    # Interval devices
    Mutant(
        "a reading covers the time of the one before",
        "interval",
        "np.maximum(claimed, before)",
        "claimed",
    ),
    Mutant(
        "a reading covers more than its interval",
        "interval",
        "np.maximum(claimed, before)",
        "before",
    ),
    Mutant(
        "an implausible reading counts",
        "interval",
        "np.where(is_too_much, 0, readings.value)",
        "readings.value",
    ),
    Mutant(
        "an implausible reading is silent",
        "interval",
        "int(Doubt.IMPLAUSIBLE_READING), 0)",
        "0, 0)",
    ),
    Mutant(
        "any overlap is an overlap",
        "interval",
        "2 * (before - claimed)",
        "10**6 * (before - claimed)",
    ),
    Mutant("half a percent overlaps", "sides", "100 * overlapping >", "200 * overlapping >"),
    # Registers: rises
    Mutant("the first value is energy", "register", "energy[begins] = 0", "pass"),
    Mutant(
        "a register goes on after it was an interval meter",
        "register",
        "begins[1:] |= ~is_register[:-1]",
        "pass",
    ),
    Mutant(
        "possible since the reading before",
        "register",
        "else self.lower_at\n",
        "else self.at[place - 1]\n",
    ),
    Mutant("no step more", "register", "            gained -= facts.step\n", "            pass\n"),
    Mutant(
        "a step more although less was read",
        "register",
        "        if self.lower_at is None:\n            gained -=",
        "        if True:\n            gained -=",
    ),
    Mutant(
        "the time of the baseline moves while it stays",
        "register",
        "        self.good_at = self.at[place]\n        return gained",
        "        self.good_at = self.baseline_at = self.at[place]\n        return gained",
    ),
    Mutant("a sure rise is not looked at", "register", "(gained * 36e6 <= most)", "(gained >= 0)"),
    Mutant("a spike is a jump", "register", "return 0, Doubt.NONE  # a spike", "break"),
    Mutant(
        "a spike needs no possible return",
        "register",
        "gained >= -JITTER and self._may_gain(later, gained)",
        "gained >= -JITTER",
    ),
    Mutant(
        "a spike may end far below",
        "register",
        "gained >= -JITTER and self._may_gain(later, gained)",
        "self._may_gain(later, gained)",
    ),
    Mutant("a jump is silent", "register", "Doubt.IMPLAUSIBLE_JUMP)", "Doubt.NONE)"),
    # Registers: falls
    Mutant("half the jitter", "register", "JITTER = NANO // 10", "JITTER = NANO // 20"),
    Mutant(
        "jitter is not less than the baseline",
        "register",
        "            self.lower_at = self.good_at = self.at[place]\n",
        "            self.good_at = self.at[place]\n",
    ),
    Mutant(
        "a rollover may lose",
        "register",
        "if gained >= 0 and self._may_gain(place, gained)",
        "if self._may_gain(place, gained)",
    ),
    Mutant(
        "a rollover of more than is possible",
        "register",
        "if gained >= 0 and self._may_gain(place, gained)",
        "if gained >= 0",
    ),
    Mutant(
        "a reset below 99 %", "register", "RESET_BELOW_PERCENT = 95", "RESET_BELOW_PERCENT = 99"
    ),
    Mutant(
        "a reset to any value",
        "register",
        "return is_far_below and self.value[place] <=",
        "return is_far_below and 0 <=",
    ),
    Mutant(
        "a return is always a dip's",
        "register",
        "if self._rises_from_zero(place, returned)",
        "if False",
    ),
    Mutant(
        "a return is always a reset's",
        "register",
        "if self._rises_from_zero(place, returned)",
        "if True",
    ),
    Mutant(
        "a return without a step more",
        "register",
        "(facts.step if lower is None else 0)",
        "0",
    ),
    Mutant(
        "a return from the fallen value on",
        "register",
        "self.at[low if lower is None else lower]",
        "self.at[low]",
    ),
    Mutant(
        "a reset is worth nothing", "register", "place, self.value[place], Doubt", "place, 0, Doubt"
    ),
    Mutant(
        "a dip ends a reading later",
        "register",
        "or place < self.returned",
        "or place <= self.returned",
    ),
    Mutant("a dip is judged at each reading", "register", "self.returned = returned", "pass"),
    Mutant("a step down is silent", "register", "Doubt.REGISTER_FELL)", "Doubt.NONE)"),
    Mutant(
        "a new baseline remembers what was lower",
        "register",
        "self.value[place], None\n",
        "self.value[place], self.lower_at\n",
    ),
    # The 60 minutes
    Mutant(
        "settled after half an hour",
        "register",
        "SETTLED_AFTER_US = HOUR_US",
        "SETTLED_AFTER_US = HOUR_US // 2",
    ),
    Mutant("nothing is unsettled", "register", "< self.at[place] + SETTLED_AFTER_US", "< 0"),
    Mutant(
        "unsettled although later was read",
        "register",
        "max(as_of[device], last)",
        "as_of[device]",
    ),
    Mutant("what follows the unsettled counts", "register", "self.is_open = True", "pass"),
    # Windows and sessions
    Mutant(
        "energy lies in all of its time",
        "spread",
        "no_session = whole == 0",
        "no_session = whole >= 0",
    ),
    Mutant(
        "shares are cut, not rounded", "spread", "(2 * rest * part + whole)", "(2 * rest * part)"
    ),
    Mutant("long shares are cut", "spread", "2 * one * its_part + its_whole", "2 * one * its_part"),
    # Who charged whom
    Mutant("an assignment counts in a session", "charged", ".without(line.spans(busy))", ""),
    Mutant("a shared meter is everybody's", "charged", "free.without(others_too)", "free"),
    Mutant(
        "a shared meter is silent", "charged", "free.intersection(others_too)", "free.without(free)"
    ),
    Mutant(
        "no meter while another charges",
        "charged",
        "line.spans(assigned).union(line.spans(charging))",
        "charged",
    ),
    # Coverage and status
    Mutant(
        "a cut gap is known",
        "coverage",
        "worth.since[~is_long], worth.at[~is_long]",
        "worth.since, worth.at",
    ),
    Mutant("a whole gap is unknown", "coverage", "np.where(first < last,", "np.where(first < 0,"),
    Mutant("silence is counted twice", "coverage", "ends - starts - anyway", "ends - starts"),
    Mutant("silence is unknown", "coverage", ".union(silence)", ""),
    Mutant("silence in sessions is known", "history", ".without(charging)", ""),
    Mutant("stretches touch", "line", "24 * HOUR_US + 1", "1"),
    Mutant("a doubt before it was read is silent", "sides", "first, reached)", "first, last)"),
    Mutant("nothing known is zero", "sides", "(known > 0) | (gained != 0)", "known >= 0"),
    Mutant(
        "half a coverage is too little", "sides", "2 * self.known_us >= ", "2 * self.known_us > "
    ),
    Mutant("a tenth is too little", "status", "ac < LEAST_AC", "ac <= LEAST_AC"),
    Mutant("all of it is implausible", "status", "dc > ac", "dc >= ac"),
    Mutant("85 is degraded", "status", "100 * dc >= 85", "100 * dc > 85"),
    Mutant("75 is critical", "status", "100 * dc >= 75", "100 * dc > 75"),
]


def copy_code(to: Path) -> None:
    """Copy the arithmetic and its tests, which then run without servers."""
    for folder in ("energy", "tests/energy"):
        shutil.copytree(ROOT / folder, to / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (to / "tests/energy/conftest.py").unlink()
    (to / "tests/__init__.py").touch()
    (to / "tests/conftest.py").write_text(CONFTEST)


def is_caught(mutant: Mutant | None) -> bool:
    """Return whether a test fails with the mutant; without one, all have to pass."""
    with tempfile.TemporaryDirectory() as folder:
        copy_code(Path(folder))
        if mutant:
            file = Path(folder) / f"energy/{mutant.file}.py"
            file.write_text(file.read_text().replace(mutant.before, mutant.after))
        command = [sys.executable, "-m", "pytest", "-xq", "-p", "no:cacheprovider", *TESTS]
        ended = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    return ended.returncode == 1


def main() -> None:
    """Try the mutants, and end with 1 if one of them is not caught."""
    words = sys.argv[1:]
    if is_caught(None):
        sys.exit("the tests fail without a mutant")
    missed = 0
    for mutant in MUTANTS:
        if not words or any(word in mutant.name for word in words):
            caught = is_caught(mutant)
            missed += not caught
            print(f"{'caught' if caught else 'MISSED'}  {mutant.name}", flush=True)  # noqa: T201  the report
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
