"""What a browser may be made to do here by pages of other sites: nothing."""

import hashlib
from collections.abc import AsyncIterator, Callable

import pytest
from fastapi import FastAPI

from tests.api.conftest import Client, Rows, asked, problem
from tests.api.readings import encode, meter

METERS = "/v1/devices/meters"
READING = "/v1/telemetry/meter"
KEY = "a-key"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()


async def test_writes_that_come_from_another_site_are_refused(client: Client, rows: Rows) -> None:
    body = {"meterId": "m"}
    for site in ("cross-site", "same-site"):
        headers = {"Sec-Fetch-Site": site}
        for method, path in (
            ("POST", METERS),
            ("POST", READING),
            ("PATCH", f"{METERS}/m"),
            ("POST", "/v1/sessions/1/end"),
            ("DELETE", "/nothing"),
        ):
            problem(await client.request(method, path, json=body, headers=headers), 403)
        # To read is harmless: the page does not see the answer.
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
async def test_a_body_that_is_not_said_to_be_json_is_refused(client: Client, kind: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield encode({"meterId": "m"})

    headers = {"Content-Type": kind}
    for path, body in ((METERS, {"meterId": "m"}), (READING, meter()), ("/v1/sessions/1/end", {})):
        problem(await client.post(path, content=encode(body), headers=headers), 415)
    problem(await client.post(METERS, content=chunks(), headers=headers), 415)
    # Where there is no body there is nothing to be said of it.
    problem(await client.post("/v1/sessions/999999/end", headers=headers), 404)


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
