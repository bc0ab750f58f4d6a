"""The verdict on a demo: on the stored data, on the API's answers, and the exit code."""

from dataclasses import dataclass

from producer_sim.oracle import answers, compare
from producer_sim.oracle.verdict import CLEAN, TOO_SLOW, WRONG, Report


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line for each finding, and the exit code that follows from them."""

    lines: tuple[str, ...]
    code: int


def judge(report: Report, *, simulator: int) -> Verdict:
    """Return the verdict on a report and on the exit code of the simulator.

    CLEAN: all is right. WRONG: something is wrong or has failed. TOO_SLOW: nothing is, but this
    machine was too busy to check all answers.
    """
    data, wrong = report.violated(compare.CHECKS), report.violated(answers.CHECKS)
    lines = [
        f"what is stored is not what was sent: {', '.join(data)}"
        if data
        else "what is stored is what was sent"
    ]
    if wrong:
        lines.append(f"what is answered is not true: {', '.join(wrong)}")
    elif report.unasked is None:
        lines.append("what is answered is true")
    elif report.unasked.too_slow:
        lines.append(
            "the answers are not all checked: this machine was too busy for them"
            f" ({report.unasked.problem})"
        )
    else:
        lines.append(f"the answers are not all checked: {report.unasked.problem}")
    code = report.exit_code
    if simulator not in (CLEAN, TOO_SLOW):
        lines.append(f"the simulator ended with {simulator}")
        code = WRONG
    return Verdict(tuple(lines), code)
