"""A program of Wattline, run to its end as a process of its own."""

import subprocess
import sys
from pathlib import Path

from deploy.replica import PATIENCE_S, ROOT
from tests.acceptance.conftest import Environment, environ

Ended = subprocess.CompletedProcess[str]


def run(
    environment: Environment,
    *command: str,
    patience_s: float = PATIENCE_S,
    folder: Path = ROOT,
) -> Ended:
    """Run `python -m` with these words and without a terminal, and return how it ended.

    The code is that of the folder.
    """
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environ(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
    )
