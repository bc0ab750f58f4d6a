"""`make demo`'s own code, at a small size."""

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from deploy.replica import ROOT
from tests.acceptance.conftest import Environment, environ, query


def demo(environment: Environment, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.demo", *arguments],
        cwd=ROOT,
        env=environ(environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_demo_ends_clean_and_down_stops_what_it_left(
    environment: Environment, tmp_path: Path
) -> None:
    small = ["run", "--devices", "200", "--minutes", "5", "--dir", str(tmp_path)]
    ended = demo(environment, *small)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "clean" in ended.stdout
    assert "answers about vehicles" in ended.stdout
    [page] = re.findall(r"^open (http://127\.0\.0\.1:\d+/)$", ended.stdout, re.MULTILINE)
    assert "Wattline" in httpx.get(page).text
    stored = "SELECT count(*) FROM vehicle_history"
    assert query(environment, stored)[0][0] > 950
    stopped = demo(environment, "down", "--dir", str(tmp_path))
    assert "2 consumers stopped" in stopped.stdout
    assert "the API stopped" in stopped.stdout
    with pytest.raises(httpx.ConnectError):
        httpx.get(page)
    assert stopped.returncode == 0
