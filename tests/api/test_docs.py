"""docs/api.md is true: its tables are the code's, and its walk-through works as it stands."""

import asyncio
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI

from api.settings import describe
from deploy.local.stack import Addresses
from deploy.replica import PATIENCE_S, ROOT, Replica
from tests.acceptance.conftest import start_at_the_end
from tests.api.process import Process

TEXT = (ROOT / "docs" / "api.md").read_text()
KEY = "a-key"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()


def test_every_setting_is_listed_with_its_default() -> None:
    wanted = [f"| `{name}` | {default or ' '} | {text} |" for name, default, text in describe()]
    assert re.findall(r"^\| `[A-Z_]+` \|.*$", TEXT, re.MULTILINE) == wanted


def test_every_metric_is_listed(make_app: Callable[..., FastAPI]) -> None:
    wanted = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in make_app().state.parts.metrics.registry.collect()
        if metric.name.startswith("telemetry_")
    }
    assert set(re.findall(r"^\| `(telemetry_\w+)", TEXT, re.MULTILINE)) == wanted


def test_every_path_is_listed(make_app: Callable[..., FastAPI]) -> None:
    table = TEXT.split("## Paths")[1].split("## Answers")[0]
    listed = set(re.findall(r"[` ](/(?:v1|health)/[^` ]*)", table))
    assert listed == set(make_app().openapi()["paths"])


def test_the_walk_through_works_as_it_stands(
    servers: Addresses, database_url: str, group: str, tmp_path: Path
) -> None:
    asyncio.run(start_at_the_end(servers, database_url, group))
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
        "DATABASE_URL": database_url,
        "CONSUMER_GROUP": group,
        "API_KEYS": DIGEST,
    }
    [script] = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    consumer = Replica(environment, log_file=tmp_path / "consumer.log")
    try:
        with Process(environment, log_file=tmp_path / "api.log") as process:
            own = {"WATTLINE_URL": process.address, "WATTLINE_KEY": KEY}
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", script],
                env={**os.environ, **own},
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
    finally:
        consumer.kill()
    assert done.returncode == 0, done.stderr
    assert "'status': 'optimal'" in done.stdout
