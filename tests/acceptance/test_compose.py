"""docker-compose.yml: its simulator, as a process, makes vehicles that have a meter."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import yaml

from deploy.replica import ROOT, Replica
from tests.acceptance.conftest import API_KEY, Environment, environ, query

SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SIMULATOR = SERVICES["simulator"]
IN_COMPOSE = "http://api:8000"
# A small world of the last day that ends now; compose has a large one that goes on.
SMALL = ["--devices", "20", "--interval", "300", "--duration", "24h", "--rate", "max"]


def named_in_the_example() -> set[str]:
    lines = (ROOT / "deploy" / "compose" / ".env.example").read_text().splitlines()
    return {line.split("=")[0] for line in lines if line and not line.startswith("#")}


def test_the_simulator_registers_its_world_with_the_api_that_it_waits_for() -> None:
    command = SIMULATOR["command"]
    assert command[0] == "run"
    assert "--world" in command
    assert f"--api={IN_COMPOSE}" in command
    assert SIMULATOR["depends_on"]["api"]["condition"] == "service_healthy"
    assert "API_KEY" in SIMULATOR["environment"]
    assert {"API_KEY", "API_KEYS"} <= named_in_the_example()


def test_each_program_logs_in_under_its_own_role_once_its_login_is_there() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r"\$\{(\w+):", text)) == named_in_the_example()
    for service, login in (("consumer", "consumer"), ("api", "api"), ("retention", "owner")):
        assert SERVICES[service]["environment"]["DATABASE_URL"].startswith(
            f"postgresql://compose_{login}:${{{login.upper()}_PASSWORD:"
        )
        before = SERVICES[service]["depends_on"]["logins"]
        assert before == {"condition": "service_completed_successfully"}
    steps = ["logins", "roles", "schema", "postgres"]
    assert [list(SERVICES[one]["depends_on"]) for one in steps[:-1]] == [[one] for one in steps[1:]]


def test_prometheus_asks_the_api_at_the_port_whose_metrics_take_no_key() -> None:
    settings = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    [job] = [one for one in settings["scrape_configs"] if one["job_name"] == "api"]
    [found] = job["dns_sd_configs"]
    api = SERVICES["api"]
    assert found["names"] == ["api"]
    assert found["port"] == api["environment"]["METRICS_PORT"]
    # It cannot be reached from outside this machine.
    assert api["ports"] == ["127.0.0.1:8000:8000"]


def test_the_simulator_of_compose_makes_vehicles_with_meters_each_time_it_starts(
    start: Callable[..., Replica], api: Replica, environment: Environment, tmp_path: Path
) -> None:
    start()
    command = [word.replace(IN_COMPOSE, api.address) for word in SIMULATOR["command"]]

    def simulator(*words: str) -> None:
        ended = subprocess.run(
            [sys.executable, "-m", "producer_sim", *words],
            # Ledgers are written to the working folder, as in the container.
            cwd=tmp_path,
            env=environ(environment) | {"API_KEY": API_KEY, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr

    for _ in range(2):
        simulator(*command, *SMALL)
    ledgers = [str(ledger) for ledger in (tmp_path / "ledger").iterdir()]
    assert len(ledgers) == 2
    simulator("verify", *ledgers, "--exact", "--wait", "60")

    assert query(environment, "SELECT count(*) FROM vehicle") == [(40,)]
    assigned = "SELECT count(DISTINCT vehicle_id) FROM vehicle_meter_assignment"
    [(with_meter,)] = query(environment, assigned)
    assert with_meter > 30
    answer = httpx.get(
        f"{api.address}/v1/analytics/fleet/performance",
        headers={"Authorization": f"Bearer {API_KEY}"},
        timeout=60,
    )
    statuses = answer.json()["vehicles"]
    # A world leaves some without a meter on purpose: guests, who charge in sessions, and strangers.
    assert statuses["no_meter"] <= 40 - with_meter
    assert statuses["optimal"] > 0
