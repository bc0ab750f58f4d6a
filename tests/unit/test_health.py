"""The pages of a replica, asked for as a server asks for them."""

import json
import socket
from collections.abc import MutableMapping
from typing import Any, NamedTuple

import pytest

from consumer.health import Readiness, WaitsFor, application
from consumer.metrics import Metrics
from runtime.http.server import PortTaken, listen
from runtime.http.settings import HttpSettings


class Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes


async def answer(
    path: str,
    *,
    readiness: Readiness = dict,
    waits_for: WaitsFor = lambda: None,
    method: str = "GET",
) -> Answer:
    """Ask the application for a page over ASGI."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }
    pages = application(metrics=Metrics(), readiness=readiness, waits_for=waits_for)
    await pages(scope, receive, send)
    start, *parts = sent
    headers = dict(start["headers"])
    body = b"".join(part["body"] for part in parts)
    return Answer(start["status"], headers[b"content-type"].decode(), body)


async def test_a_replica_that_runs_is_live_whatever_it_waits_for() -> None:
    live = await answer("/health/live", readiness=lambda: {"database": False})
    assert (live.status, json.loads(live.body)) == (200, {"status": "live"})


async def test_a_replica_is_ready_when_every_check_holds() -> None:
    checks = {"database": True, "kafka": True}
    ready = await answer("/health/ready", readiness=lambda: checks)
    assert (ready.status, json.loads(ready.body)) == (200, {"status": "ready", "checks": checks})


@pytest.mark.parametrize("failing", ["database", "kafka"])
async def test_a_replica_is_not_ready_when_one_check_fails_and_says_which(failing: str) -> None:
    checks = {"database": True, "kafka": True} | {failing: False}
    ready = await answer("/health/ready", readiness=lambda: checks)
    assert ready.status == 503
    assert json.loads(ready.body) == {"status": "not ready", "checks": checks}


async def test_a_replica_that_waits_for_an_operator_says_for_what() -> None:
    line = "the schema is at version 3, this code needs 4"
    ready = await answer(
        "/health/ready", readiness=lambda: {"database": False}, waits_for=lambda: line
    )
    assert (ready.status, json.loads(ready.body)["waits_for"]) == (503, line)


async def test_metrics_are_in_prometheus_text_format() -> None:
    metrics = await answer("/metrics")
    assert metrics.status == 200
    assert metrics.content_type.startswith("text/plain; version=")
    assert b"\ntelemetry_messages_total{" in metrics.body


@pytest.mark.parametrize("holds", [True, False])
async def test_metrics_show_whether_the_replica_is_ready(holds: bool) -> None:
    metrics = await answer("/metrics", readiness=lambda: {"kafka": True, "database": holds})
    assert f"\ntelemetry_ready {float(holds)}\n".encode() in metrics.body


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
async def test_head_is_answered_as_get(path: str) -> None:
    got, head = await answer(path), await answer(path, method="HEAD")
    assert head[:2] == got[:2] == (200, got.content_type)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/metrics", 405),
        ("GET", "/health/ready/", 404),
        ("HEAD", "/metrics/", 404),
    ],
)
async def test_there_is_nothing_else(method: str, path: str, status: int) -> None:
    assert (await answer(path, method=method)).status == status


def test_port_0_is_a_free_port() -> None:
    with listen(HttpSettings(http_port=0)) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
        assert listening.getsockname()[1] > 0


def test_a_port_that_is_taken_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"^HTTP_PORT: cannot listen on 127\.0\.0\.1:{port}: "):
            listen(HttpSettings(http_port=port))
