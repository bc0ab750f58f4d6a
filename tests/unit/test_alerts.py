"""What raises an alert and what does not, checked by Prometheus' own tool."""

import subprocess
from pathlib import Path

from tests.needed import program

RULES = Path(__file__).parents[2] / "deploy" / "prometheus"


def test_each_alert_is_raised_by_its_cause_and_by_nothing_else() -> None:
    promtool = program("promtool", package="prometheus")
    ended = subprocess.run(
        [promtool, "test", "rules", "alerts_test.yml"],
        cwd=RULES,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
