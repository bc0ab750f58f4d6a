"""The results of benchmarks over the commits: docs/benchmarks/NAME.jsonl, an object a line.

    record("drain", {"ratio": {"min": 0.58, "median": 0.6, "max": 0.61}})

appends a line of these and of commit, date and machine. Nothing in it names the host.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from deploy.replica import ROOT

FOLDER = ROOT / "docs" / "benchmarks"

Entry = dict[str, Any]


def record(name: str, figures: dict[str, object]) -> None:
    """Append the figures to the history of that name, with commit, date and machine."""
    entry = {"commit": _commit(), "date": _now(), "machine": _machine(), **figures}
    append(FOLDER / f"{name}.jsonl", entry)


def append(file: Path, entry: Mapping[str, object]) -> None:
    """Add one line to the file; makes it and its folder if they are missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n")


def read(file: Path) -> list[Entry]:
    """Return the entries, oldest first; none if the file does not exist."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Return the least, the median and the most, to four digits; None without a value."""
    if not values:
        return None
    ends = {"min": min(values), "median": median(values), "max": max(values)}
    return {name: float(f"{value:.4g}") for name, value in ends.items()}


def _commit() -> str:
    """Return the commit's short id, with a + if other files than results differ from it.

    If git cannot tell, it is "unknown": what took minutes to measure is kept even so.
    """
    try:
        changed = _git("status", "--porcelain", "--", ".", ":!docs/benchmarks")
        return _git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    answer = subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    return answer.stdout.strip()


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _machine() -> dict[str, object]:
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
    }


def _cpu_model() -> str | None:
    """Return the model as the kernel names it, None if it names none."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, model = line.partition(":")
        if name.strip() == "model name":
            return model.strip()
    return None
