"""The result of a verification: checks, violations, exit code."""

import json
from collections.abc import Container
from dataclasses import asdict, dataclass, replace

from telemetry.timestamps import format_timestamp

CLEAN, WRONG, TOO_SLOW = 0, 1, 3
"""Exit codes; 2 is wrong use."""
MOST_EXAMPLES = 5
"""The number of violations that a check keeps to show."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One message, reading or answer that is wrong; fields that are not known are None.

    For an answer, `topic` is the question, and `recorded_at` the start of its window.
    """

    topic: str
    partition: int | None
    record_offset: int | None
    device_id: str | None
    recorded_at: int | None
    problem: str

    def __str__(self) -> str:
        place = self.topic
        if self.partition is not None:
            place += f"[{self.partition}]"
        if self.record_offset is not None:
            place += f"@{self.record_offset}"
        instant = "" if self.recorded_at is None else format_timestamp(self.recorded_at)
        return " ".join(filter(None, (place, self.device_id, instant, self.problem)))


@dataclass(frozen=True, slots=True)
class Check:
    """One check: the number of its violations, and the first few of them.

    `compared`: whether there was something to compare, and all of it was compared. If not, zero
    violations do not mean that all is right.
    """

    name: str
    violations: int
    examples: tuple[Violation, ...] = ()
    compared: bool = True


@dataclass(frozen=True, slots=True)
class Unasked:
    """Why not all answers arrived; `too_slow`: the API was only too busy."""

    problem: str
    too_slow: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of all checks. `unclosed` names ledgers whose last part may be missing."""

    checks: tuple[Check, ...]
    totals: dict[str, int]
    unclosed: tuple[str, ...] = ()
    unasked: Unasked | None = None

    @property
    def clean(self) -> bool:
        return self.exit_code == CLEAN

    @property
    def is_violated(self) -> bool:
        return any(check.violations for check in self.checks)

    @property
    def exit_code(self) -> int:
        """CLEAN, WRONG, or TOO_SLOW: nothing is wrong so far, but answers did not come in time."""
        if self.is_violated:
            return WRONG
        if self.unasked is None:
            return CLEAN
        return TOO_SLOW if self.unasked.too_slow else WRONG

    def violated(self, names: Container[str]) -> list[str]:
        """Return which of these checks are violated."""
        return [check.name for check in self.checks if check.violations and check.name in names]

    @property
    def counts(self) -> dict[str, int]:
        """The number of violations, by the name of the check."""
        return {check.name: check.violations for check in self.checks}

    def with_more(
        self, checks: tuple[Check, ...], totals: dict[str, int], unasked: Unasked | None = None
    ) -> "Report":
        """Return the report with more checks and totals at its end."""
        return replace(
            self, checks=self.checks + checks, totals=self.totals | totals, unasked=unasked
        )

    def to_json(self) -> str:
        return json.dumps({"clean": self.clean, **asdict(self)}, indent=2)
