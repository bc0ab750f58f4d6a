"""The API as a process: its start, its end, and its errors if it cannot start."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from deploy.replica import PATIENCE_S, ROOT
from tests.api.conftest import Environment, Rows, problem
from tests.api.process import Process


def test_sigterm_lets_requests_end_and_exits_0(
    environment: Environment, rows: Rows, tmp_path: Path
) -> None:
    async def ask(address: str, process: Process) -> tuple[httpx.Response, list[str], float]:
        async with (
            httpx.AsyncClient(base_url=address, timeout=PATIENCE_S) as client,
            client.stream("GET", "/v1/live") as stream,
        ):
            lines = stream.aiter_lines()
            assert await anext(lines) == ": listening"
            with rows.transaction():
                rows.execute("LOCK TABLE meter IN ACCESS EXCLUSIVE MODE")
                waiting = asyncio.create_task(client.get("/v1/devices/meters"))
                await locked_out(rows)
                process.process.send_signal(signal.SIGTERM)
                rest = [line async for line in lines]
                begun = time.monotonic()
                assert not waiting.done()
            return await waiting, rest, begun

    with Process(environment, log_file=tmp_path / "api.log") as process:
        answer, rest, begun = asyncio.run(ask(process.address, process))
        assert process.wait() == 0
        assert time.monotonic() - begun < 5
    assert answer.status_code == 200
    assert "event: dropped" in rest


async def locked_out(rows: Rows) -> None:
    """Return once the request waits for the lock."""
    async with asyncio.timeout(PATIENCE_S):
        while not rows.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall():
            await asyncio.sleep(0.02)


def test_sigterm_to_an_idle_process_exits_0(environment: Environment, tmp_path: Path) -> None:
    with Process(environment, log_file=tmp_path / "api.log") as process:
        assert process.get("/health/live")[0] == 200
        assert process.stop() == 0
        assert [line for line in process.log() if line["event"].startswith("Traceback")] == []


def test_it_starts_without_its_servers(environment: Environment, tmp_path: Path) -> None:
    away = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d",
    }
    with Process(environment | away, log_file=tmp_path / "api.log") as process:
        assert process.get("/health/live")[0] == 200
        status, body = process.get("/health/ready")
        assert status == 503
        assert json.loads(body)["checks"] == {"database": False, "kafka": False}
        assert process.stop() == 0


def run(environment: Environment, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api", *words],
        cwd=ROOT,
        env={**os.environ, **environment, **settings},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value", "others"),
    [
        ("API_KEYS", "", {"HTTP_HOST": "0.0.0.0"}),  # noqa: S104  which is what is refused
        ("API_KEYS", "secret", {}),
        ("API_KEYS", sha256(b"").hexdigest(), {}),
        ("API_KEYS", f"{sha256(b'key').hexdigest()},{sha256(bytes([10])).hexdigest()}", {}),
        ("TRUSTED_PROXIES", "*", {}),
        ("TRUSTED_PROXIES", "10.0.0.1/8", {}),
        ("METRICS_PORT", "65536", {}),
        ("DATABASE_READ_URL", "mysql://u:secret@h/d", {}),
        ("HTTP_PORT", "65536", {}),
    ],
)
def test_a_setting_that_is_wrong_is_one_line_and_exit_2(
    environment: Environment, name: str, value: str, others: dict[str, str]
) -> None:
    done = run(environment, "run", **{name: value}, **others)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: {name}: ")
    assert "secret" not in line


def test_a_new_key_gives_access(environment: Environment) -> None:
    done = run(environment, "new-key")
    words = dict(line.split() for line in done.stdout.splitlines())
    assert done.returncode == 0
    opened = run(environment, "openapi", API_KEYS=words["digest:"], HTTP_HOST="::")
    assert json.loads(opened.stdout)["info"]["title"] == "Wattline"


def test_metrics_are_served_on_a_port_of_their_own_if_one_is_set(
    environment: Environment, tmp_path: Path
) -> None:
    own = {
        "API_KEYS": sha256(b"key").hexdigest(),
        "METRICS_PORT": "0",
        "ADDRESS_RATE_LIMIT_PER_MINUTE": "2",
        # A variable of uvicorn's: with it uvicorn would trust everybody.
        "FORWARDED_ALLOW_IPS": "*",
    }
    with Process(environment | own, log_file=tmp_path / "api.log") as process:
        port = process.wait_for("metrics_listening")["port"]
        with httpx.Client(timeout=PATIENCE_S) as client:
            metrics = f"http://127.0.0.1:{port}"
            page = client.get(f"{metrics}/metrics")
            assert page.status_code == 200
            assert "telemetry_http_requests_total" in page.text
            assert page.headers["x-content-type-options"] == "nosniff"
            for path in ("/metrics/", "/docs"):
                problem(client.get(f"{metrics}{path}"), 404)
            refused = client.post(f"{metrics}/metrics")
            problem(refused, 405)
            assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD"}
            key = {"Authorization": "Bearer key"}
            assert client.get(f"{process.address}/metrics", headers=key).status_code == 404
            answers = [
                client.get(process.address, headers={"X-Forwarded-For": f"192.0.2.{number}"})
                for number in range(5)
            ]
            assert answers[-1].status_code == 429
        assert process.stop() == 0
        assert [line for line in process.log() if line["event"].startswith("Traceback")] == []


def test_a_port_of_metrics_that_is_taken_is_named(environment: Environment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run(environment, "run", HTTP_PORT="0", METRICS_PORT=port)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: METRICS_PORT: cannot listen on 127.0.0.1:{port}: ")
