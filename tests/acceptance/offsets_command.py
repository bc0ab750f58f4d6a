"""`python -m consumer offsets` as a process of its own."""

import subprocess
import sys

from deploy.replica import PATIENCE_S, ROOT
from tests.acceptance.conftest import Environment, environ


def command(
    environment: Environment, *arguments: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "consumer", "offsets", *arguments],
        cwd=ROOT,
        env=environ(environment | settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
