"""The result of an attack, and whether it is within the aims."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.attack.attack import ANY_KEY, ANYBODY, MEMBER, PRODUCER
from tests.attack.sight import Latency, Memory, Seen

MOST_LIVE_MS = 250.0
"""The most by which a request without a key may delay `/health/live`."""
MOST_STATE_MS = 1_000.0
"""The most by which one key may delay another key's question for a current state."""
MOST_GROWTH = 64 << 20
"""The most bytes of a process that a request without a key may take."""
_LITTLE_GROWTH = 16 << 20
IDLE = "idle"


@dataclass(frozen=True, kw_only=True)
class Result:
    """`faults` must never be; `missed` are aims of speed, which need a quiet machine."""

    name: str
    who: str
    seen: Seen
    said: Mapping[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def held(self) -> bool:
        return not self.faults and not self.missed

    @property
    def growth(self) -> int:
        """The bytes taken by the process that took the most."""
        return max(one.growth for one in self.seen.memory.values())


def is_as_before(result: Result) -> bool:
    """Return whether the site is unharmed, and can be attacked again."""
    return result.held and result.growth <= _LITTLE_GROWTH and result.who not in {PRODUCER, MEMBER}


def faults_of_memory(who: str, seen: Seen) -> list[str]:
    """Return what is wrong with the memory of the victims."""
    faults = []
    for name, one in seen.memory.items():
        if one.was_killed:
            faults.append(f"the {name} was killed by the bench: it had {one.most >> 20} MiB")
        elif who == ANYBODY and one.growth > MOST_GROWTH:
            faults.append(f"the {name} took {one.growth >> 20} MiB more, over {MOST_GROWTH >> 20}")
    return faults


def missed_aims(who: str, seen: Seen, idle: Seen) -> list[str]:
    """Return the aims of speed that were missed, after the figures of an idle site are deducted."""
    aims = {
        ANYBODY: [("/health/live", seen.live, idle.live, MOST_LIVE_MS)],
        ANY_KEY: [("current state", seen.state, idle.state, MOST_STATE_MS)],
    }
    missed = []
    for what, latency, nothing, most in aims.get(who, []):
        delay = latency.p99 - nothing.p99
        if delay > most:
            missed.append(f"{what}: p99 later by {delay:,.0f} ms, over {most:,.0f}")
        if latency.failed * 100 > latency.count:
            missed.append(f"{what}: {latency.failed} of {latency.count} were not answered")
    return missed


def write(file: Path, results: Iterable[Result]) -> None:
    """Keep the results as JSON."""
    file.write_text(json.dumps([asdict(one) for one in results], indent=1) + "\n")


def read(file: Path) -> dict[str, Result]:
    """Return kept results by name; raises OSError, ValueError, KeyError, TypeError."""
    return {one["name"]: _result(one) for one in json.loads(file.read_text())}


def _result(known: dict[str, Any]) -> Result:
    seen = known["seen"]
    latencies = {name: Latency(**seen[name]) for name in ("live", "state", "ready")}
    memory = {name: Memory(**one) for name, one in seen["memory"].items()}
    return Result(**known | {"seen": Seen(**latencies, memory=memory)})
