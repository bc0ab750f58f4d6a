"""Pages of other sites cannot make a browser do anything here."""

import hashlib
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import PlainTextResponse
from starlette.types import Message, Scope

from api.middleware.same_site import SameSite
from tests.api.conftest import Client, Rows, problem
from tests.api.operations import operations
from tests.api.readings import NOW, encode, meter, store_vehicle
from tests.asked import asked

METERS = "/v1/devices/meters"
READING = "/v1/telemetry/meter"
KEY = "a-key"
OWN_HOST = ("Host", "127.0.0.1:8000")
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()


async def test_writes_that_come_from_another_site_are_refused(client: Client, rows: Rows) -> None:
    body = {"meterId": "m"}
    for site in ("cross-site", "same-site", "", "same-origin, cross-site"):
        headers = {"Sec-Fetch-Site": site}
        for method, path in (
            ("POST", METERS),
            ("POST", READING),
            ("PATCH", f"{METERS}/m"),
            ("POST", "/v1/sessions/1/end"),
            ("DELETE", "/nothing"),
        ):
            problem(await client.request(method, path, json=body, headers=headers), 403)
        # Reading is harmless: the page does not see the answer.
        assert (await client.get(METERS, headers=headers)).status_code == 200
        assert (await client.head("/static/none", headers=headers)).status_code != 403
    assert rows.execute("SELECT count(*) FROM meter").fetchone() == {"count": 0}
    for number, site in enumerate(("same-origin", "none")):
        own = {"meterId": f"m-{number}"}
        made = await client.post(METERS, json=own, headers={"Sec-Fetch-Site": site})
        assert made.status_code == 201


async def test_a_key_that_the_browser_adds_by_itself_changes_nothing(
    make_app: Callable[..., FastAPI],
) -> None:
    async with asked(make_app(API_KEYS=DIGEST)) as client:
        answer = await client.post(
            METERS, json={"meterId": "m"}, auth=("", KEY), headers={"Sec-Fetch-Site": "cross-site"}
        )
        problem(answer, 403)


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "application/jsonp",
        "",
    ],
)
async def test_a_body_that_is_not_declared_json_is_refused(client: Client, kind: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield encode({"meterId": "m"})

    headers = {"Content-Type": kind}
    for path, body in ((METERS, {"meterId": "m"}), (READING, meter()), ("/v1/sessions/1/end", {})):
        problem(await client.post(path, content=encode(body), headers=headers), 415)
    problem(await client.post(METERS, content=chunks(), headers=headers), 415)
    # A form without a field has no body, either.
    for method, path in (("POST", "/v1/sessions/1/end"), ("PATCH", f"{METERS}/m")):
        problem(await client.request(method, path, headers=headers), 415)
    problem(await client.post("/v1/sessions/999999/end"), 404)


async def test_json_has_many_names(client: Client) -> None:
    for kind in ("application/json", "Application/JSON; charset=utf-8", "application/x.y+json"):
        taken = await client.post(READING, content=encode(meter()), headers={"Content-Type": kind})
        assert taken.status_code == 202


async def test_without_keys_only_names_of_this_machine_are_answered(
    make_app: Callable[..., FastAPI],
) -> None:
    paths = (METERS, "/", "/health/live", "/metrics", "/nothing")
    foreign = ("evil.example", "localhost.evil.example:8000", "10.0.0.1", "[::2]:80", "::1", "a:b")
    own = ("localhost", "LOCALHOST:8000", "127.0.0.1:1", "127.0.0.2", "[::1]", "[::1]:80")
    async with asked(make_app()) as client:
        for host in foreign:
            for path in paths:
                problem(await client.get(path, headers={"Host": host}), 403)
        for host in own:
            assert (await client.get("/health/live", headers={"Host": host})).status_code == 200
    # A foreign page has no key.
    async with asked(make_app(API_KEYS=DIGEST)) as client:
        for host in foreign:
            assert (await client.get("/health/live", headers={"Host": host})).status_code == 200


async def test_an_origin_must_be_the_host_if_the_browser_does_not_name_the_site(
    make_app: Callable[..., FastAPI], rows: Rows
) -> None:
    foreign = (
        "null",
        "",
        "http://evil.example",
        "https://wattline.example",
        "http://wattline.example:8000",
        "http://www.wattline.example",
        "http://wattline.example.evil.example",
        "http://wattline.example:port",
        "wattline.example",
        "http://",
    )
    key = {"Authorization": f"Bearer {KEY}", "Host": "wattline.example"}
    async with asked(make_app(API_KEYS=DIGEST, TRUSTED_PROXIES="127.0.0.0/8")) as client:

        async def made(meter_id: str, *origins: str, **more: str) -> httpx.Response:
            headers = [*(key | more).items(), *(("Origin", origin) for origin in origins)]
            return await client.post(METERS, json={"meterId": meter_id}, headers=headers)

        for origin in foreign:
            problem(await made("m", origin), 403)
        problem(await made("m", "http://wattline.example", "http://evil.example"), 403)
        assert rows.execute("SELECT count(*) FROM meter").fetchone() == {"count": 0}
        own = ((), ("http://wattline.example",), ("http://WATTLINE.example:80",))
        for number, origins in enumerate(own):
            assert (await made(f"m-{number}", *origins)).status_code == 201
        # The host is the one that the proxy was asked for.
        forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "power.example"}
        assert (await made("m-3", "https://power.example", **forwarded)).status_code == 201
        problem(await made("m", "http://wattline.example", **forwarded), 403)


async def test_a_form_of_another_site_ends_no_session(client: Client, rows: Rows) -> None:
    started = await client.post("/v1/sessions/start", json={"vehicleId": "v", "meterId": "m"})
    path = f"/v1/sessions/{started.json()['sessionId']}/end"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    problem(await client.post(path, headers=form), 415)
    problem(await client.post(path, headers=form | {"Origin": "http://evil.example"}), 403)
    problem(await client.post(path, headers={"Origin": "null"}), 403)
    assert (await client.get("/v1/sessions/active")).json()["items"]
    assert (await client.post(path)).status_code == 200


def request_of(*headers: tuple[str, str], version: str = "1.1") -> Scope:
    return {
        "type": "http",
        "http_version": version,
        "method": "GET",
        "scheme": "http",
        "path": "/health/live",
        "headers": [
            (name.lower().encode(), value.encode()) for name, value in (*headers, OWN_HOST)
        ],
    }


async def status_of(scope: Scope, *, only_loopback: bool = True) -> int:
    """Return the status with which the middleware answers, or that of the route behind it."""
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    passed = SameSite(PlainTextResponse(""), only_loopback=only_loopback)
    await passed(scope, receive, send)
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    "name",
    [
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded",
        "X-Real-IP",
        "Via",
        "CF-Connecting-IP",
        "Fastly-Client-IP",
        "X-Cluster-Client-IP",
        "X-Original-Forwarded-For",
        "X-ProxyUser-IP",
        "CDN-Loop",
        "X-Envoy-External-Address",
    ],
)
async def test_without_keys_a_request_from_a_proxy_is_refused(name: str) -> None:
    # nginx and Apache say that the host is the one that they ask.
    for value in ("203.0.113.9", "127.0.0.1", ""):
        forwarded = request_of((name, value))
        assert await status_of(forwarded) == 403
        assert await status_of(forwarded, only_loopback=False) == 200


async def test_without_keys_a_proxy_is_recognised_by_its_http_version_too() -> None:
    assert await status_of(request_of()) == 200
    assert await status_of(request_of(version="1.0")) == 403
    assert await status_of(request_of(version="1.0"), only_loopback=False) == 200


async def test_a_client_cannot_choose_the_host_of_a_redirect(client: Client, rows: Rows) -> None:
    store_vehicle(rows, "v", [(NOW, 1.0)])
    found = await client.get("/vehicles?q=v", headers={"Host": "localhost:1"})
    assert (found.status_code, found.headers["location"]) == (303, "/vehicles/v")
    for path in ("/vehicles/", "/docs/", "/health/live/", "/v1/sessions/"):
        problem(await client.get(path), 404)


async def test_there_are_no_cors_headers_and_no_cookies(
    make_app: Callable[..., FastAPI],
) -> None:
    app = make_app()
    asking = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    async with asked(app) as client:
        for path in sorted({path for _, path in operations(app)}):
            answers = [await client.options(path, headers=asking)]
            assert answers[0].status_code == 405
            if path != "/v1/live":
                answers.append(await client.get(path, headers=asking))
            for name in (name for answer in answers for name in answer.headers):
                assert not name.startswith("access-control")
                assert name != "set-cookie"


async def test_get_changes_nothing(make_app: Callable[..., FastAPI], api_database: str) -> None:
    app = make_app(DATABASE_URL=f"{api_database}?options=-c%20default_transaction_read_only%3Don")
    async with asked(app) as client:
        problem(await client.post(METERS, json={"meterId": "m"}), 503)
        for method, path in operations(app):
            if method == "GET" and path != "/v1/live":
                answer = await client.get(path)
                assert answer.status_code < 500, (path, answer.text)
