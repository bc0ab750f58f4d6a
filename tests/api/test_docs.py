"""docs/api.md lists every path; its walk-through and the README's work as they stand."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI

from deploy.local.stack import Addresses
from deploy.replica import PATIENCE_S, ROOT, Replica
from tests.api.process import Process
from tests.at_the_end import start_at_the_end
from tests.needed import program

TEXT = (ROOT / "docs" / "api.md").read_text()
README = (ROOT / "README.md").read_text()
KEY = "a-key"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()


def test_every_path_is_listed(make_app: Callable[..., FastAPI]) -> None:
    table = TEXT.split("## Paths")[1].split("## Answers")[0]
    listed = set(re.findall(r"[` ](/(?:v1|health)/[^` ]*)", table))
    assert listed == set(make_app().openapi()["paths"])


def test_the_walk_through_works_as_it_stands(
    servers: Addresses, database_url: str, group: str, tmp_path: Path
) -> None:
    [script] = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    start_at_the_end(servers.kafka_bootstrap_servers, database_url, group)
    settings = {"DATABASE_URL": database_url, "CONSUMER_GROUP": group, "API_KEYS": DIGEST}
    done = walked([sys.executable, "-W", "error", "-c", script], servers, settings, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "'status': 'optimal'" in done.stdout


def test_the_walk_through_of_the_readme_works_as_it_stands(
    servers: Addresses, database_url: str, group: str, tmp_path: Path
) -> None:
    program("curl", package="curl")
    [script] = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    start_at_the_end(servers.kafka_bootstrap_servers, database_url, group)
    settings = {"DATABASE_URL": database_url, "CONSUMER_GROUP": group}
    done = walked(["bash", "-euc", script], servers, settings, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["energy"]["acKwh"] == 0.913
    assert answer["energy"]["dcKwh"] == 0.842
    assert round(answer["efficiency"]["ratio"], 3) == 0.922
    assert answer["efficiency"]["status"] == "optimal"


def walked(
    words: list[str], servers: Addresses, settings: dict[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a script against an API and a consumer of its own."""
    environment = settings | {"KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers}
    consumer = Replica(environment, log_file=folder / "consumer.log")
    try:
        with Process(environment, log_file=folder / "api.log") as process:
            own = {"WATTLINE_URL": process.address, "WATTLINE_KEY": KEY}
            return subprocess.run(
                words,
                env={**os.environ, **own},
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
    finally:
        consumer.kill()
