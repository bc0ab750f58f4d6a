"""Paths and methods: HEAD is GET without its body, and no failure looks like a success."""

from collections.abc import Callable

from fastapi import FastAPI

from deploy.local.stack import Addresses
from tests.api.conftest import problem, served
from tests.api.operations import operations
from tests.api.readings import encode, meter
from tests.api.topic import Topic
from tests.api.waiting import until
from tests.asked import asked

METHODS = {"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"}


async def test_a_slash_at_the_end_is_another_path(
    make_app: Callable[..., FastAPI], servers: Addresses
) -> None:
    app = make_app()
    paths = {path for _, path in operations(app)} - {"/"}
    async with asked(app) as client:
        with Topic(servers.kafka_bootstrap_servers, "telemetry.meter") as there:
            for path in paths:
                for method in METHODS:
                    answer = await client.request(method, f"{path}/", content=encode(meter()))
                    assert answer.status_code == 404, (method, path)
                    if method != "HEAD":
                        assert "slash at its end" in str(problem(answer, 404)["detail"])
            # An empty id is not answered with the list of all.
            problem(await client.get("/v1/sessions/"), 404)
            assert there.new() == []


async def test_an_unknown_method_is_a_problem_that_names_the_known_ones(
    make_app: Callable[..., FastAPI],
) -> None:
    app = make_app()
    taken: dict[str, set[str]] = {}
    for method, path in operations(app):
        taken.setdefault(path, set()).add(method)
    # Those of a session whose id is no number, and of a device whose id is `batch`.
    taken["/v1/sessions/start"] |= taken["/v1/sessions/1"]
    taken["/v1/sessions/active"] |= taken["/v1/sessions/1"]
    taken["/v1/devices/meters/batch"] |= taken["/v1/devices/meters/m"]
    taken["/v1/devices/vehicles/batch"] |= taken["/v1/devices/vehicles/v"]
    async with asked(app) as client:
        for path, methods in taken.items():
            allowed = methods | ({"HEAD"} if "GET" in methods else set())
            for method in (METHODS | {"OPTIONS", "TRACE", "BREW"}) - allowed:
                answer = await client.request(method, path)
                assert answer.status_code == 405, (method, path)
                if method != "HEAD":
                    problem(answer, 405)
                assert set(answer.headers["allow"].split(", ")) == allowed, (method, path)


async def test_head_is_get_without_the_body(make_app: Callable[..., FastAPI]) -> None:
    app = make_app()
    paths = {path for method, path in operations(app) if method == "GET"}
    # Over TCP, where a body that does not belong there would be the next answer's beginning.
    async with served(app) as client:
        for path in sorted(paths - {"/v1/live"}):
            for query in ("", "?colour=red"):
                got = await client.get(path + query)
                head = await client.head(path + query)
                assert (head.status_code, head.content) == (got.status_code, b""), path
                for name in ("content-type", "cache-control", "x-frame-options"):
                    assert head.headers.get(name) == got.headers.get(name), path
                assert int(head.headers["content-length"]) > 0
        # It has no end, but its head has.
        for _ in range(3):
            head = await client.head("/v1/live")
            assert head.headers["content-type"].startswith("text/event-stream")
        await until(lambda: not app.state.parts.live.is_looking)
        page = (await client.get("/metrics")).text
    assert 'telemetry_http_requests_total{method="HEAD",route="/health/live",status="200"}' in page
