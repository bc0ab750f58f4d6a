"""The demo's verdict tells wrong data, wrong answers, a failure and a busy machine apart."""

import pytest

from deploy.demo.verdict import judge
from producer_sim.oracle import answers, compare
from producer_sim.oracle.verdict import Check, Report, Unasked

BUSY = Unasked("GET /v1/analytics/fleet/performance: 503 too slow", too_slow=True)
GONE = Unasked("GET /v1/analytics/fleet/performance: connection refused", too_slow=False)
STORED, ANSWERED = "what is stored is what was sent", "what is answered is true"


def report(*violated: str, unasked: Unasked | None = None) -> Report:
    names = (*compare.CHECKS, *answers.CHECKS)
    checks = tuple(Check(name, int(name in violated)) for name in names)
    return Report(checks=checks, totals={}, unasked=unasked)


@pytest.mark.parametrize(
    ("found", "simulator", "code", "lines"),
    [
        (report(), 0, 0, [STORED, ANSWERED]),
        (report(unasked=BUSY), 0, 3, [STORED, "not all checked: this machine was too busy"]),
        (report(unasked=BUSY), 3, 3, [STORED, "not all checked: this machine was too busy"]),
        (report(unasked=GONE), 0, 1, [STORED, "connection refused"]),
        (
            report("lost", unasked=BUSY),
            0,
            1,
            ["is not what was sent: lost", "not all checked: this machine was too busy"],
        ),
        (report("wrong_energy"), 0, 1, [STORED, "is not true: wrong_energy"]),
        (
            report("wrong_fleet", "wrong_hours", unasked=BUSY),
            0,
            1,
            [STORED, "is not true: wrong_hours, wrong_fleet"],
        ),
        (report(unasked=GONE), 1, 1, [STORED, "connection refused", "the simulator ended with 1"]),
        (report(), 1, 1, [STORED, ANSWERED, "the simulator ended with 1"]),
    ],
)
def test_each_cause_has_its_line_and_wrong_comes_before_too_busy(
    found: Report, simulator: int, code: int, lines: list[str]
) -> None:
    verdict = judge(found, simulator=simulator)
    assert verdict.code == code
    assert len(verdict.lines) == len(lines)
    for line, part in zip(verdict.lines, lines, strict=True):
        assert part in line
