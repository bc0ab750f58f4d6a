"""The simulator as a process: it sends, and it compares what is stored with what it sent."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.replica import ROOT
from tests.acceptance.conftest import Environment, environ


def simulate(environment: Environment, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "producer_sim", *arguments], cwd=ROOT, env=environ(environment)
    )


def verify(environment: Environment, ledgers: Sequence[Path]) -> int:
    """Compare the ledgers with a database that must hold nothing else; return the exit code."""
    command = ["verify", *map(str, ledgers), "--exact", "--wait", "60"]
    return simulate(environment, *command).wait(120)
