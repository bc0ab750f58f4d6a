"""What a verification found."""

import json
from dataclasses import asdict, dataclass, replace

from telemetry.timestamps import format_timestamp


@dataclass(frozen=True, slots=True)
class Violation:
    """One message, reading or answer that is not as it must be; what is not known of it is None.

    Of an answer, `topic` is what was asked for, and `recorded_at` where its window begins.
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
    """One check: the number of its violations, and the first few of them."""

    name: str
    violations: int
    examples: tuple[Violation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of all checks. `unclosed` names ledgers whose last part may be missing."""

    checks: tuple[Check, ...]
    totals: dict[str, int]
    unclosed: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        return not any(check.violations for check in self.checks)

    @property
    def counts(self) -> dict[str, int]:
        """The number of violations by the name of the check."""
        return {check.name: check.violations for check in self.checks}

    def with_more(self, checks: tuple[Check, ...], totals: dict[str, int]) -> "Report":
        """Return the report with more checks and totals at its end."""
        return replace(self, checks=self.checks + checks, totals=self.totals | totals)

    def to_json(self) -> str:
        return json.dumps({"clean": self.clean, **asdict(self)}, indent=2)
