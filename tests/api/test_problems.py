"""Every answer that is not a success is a problem document, and tells nothing of the inside."""

from collections.abc import Callable

from fastapi import FastAPI
from structlog.testing import capture_logs

from tests.api.conftest import Client, Rows, problem
from tests.api.readings import NOW, store_meter, store_vehicle
from tests.asked import asked

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}
HOSTILE = (
    "%00",
    "a%00b",
    "%F0%9F%92%A9",
    "%ff%fe",
    "' OR 1=1 --",
    "1;DROP TABLE meter",
    "$(id)",
    "a%0A",
    "..%2f..%2fetc",
    "x" * 65,
    "x" * 30_000,
    "{{7*7}}",
)
DEVICE_PATHS = (
    "/v1/telemetry/meter/{}/current",
    "/v1/telemetry/vehicle/{}/history",
    "/v1/devices/meters/{}",
    "/v1/devices/vehicles/{}/assignments",
    "/v1/analytics/performance/{}",
    "/v1/sessions/{}",
)


async def test_unknown_paths_and_methods(client: Client) -> None:
    for path in ("/v1", "/v1/telemetry/boat", "/nothing", "/v1/sessions/1/2"):
        problem(await client.get(path), 404)
    for method, path in (
        ("DELETE", "/v1/devices/meters/m/state"),
        ("PUT", "/v1/telemetry/meter"),
        ("GET", "/v1/telemetry/ingest/batch"),
        ("POST", "/health/live"),
        ("BREW", "/v1/sessions/active"),
    ):
        answer = await client.request(method, path)
        problem(answer, 405)
        assert answer.headers["allow"]


async def test_a_browser_is_shown_a_page_for_a_path_that_does_not_exist(client: Client) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    for path in ("/vehicles/", "/docs/", "/vehicles/v-1/", "/nothing"):
        problem(await client.get(path), 404)
        answer = await client.get(path, headers=browser)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "This path does not exist" in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"
    # The API answers every client alike.
    problem(await client.get("/v1/sessions/", headers=browser), 404)
    problem(await client.post("/docs", headers=browser), 405)


async def test_hostile_ids_are_refused(client: Client, rows: Rows) -> None:
    for path in DEVICE_PATHS:
        for text in HOSTILE:
            answer = await client.get(path.format(text.replace(" ", "%20")))
            assert answer.status_code in (404, 422), (path, text, answer.text)
            problem(answer, answer.status_code)
    assert rows.execute("SELECT count(*) FROM meter").fetchone() == {"count": 0}


async def test_a_failure_is_500_without_its_reasons(
    make_app: Callable[..., FastAPI],
) -> None:
    app = make_app()

    @app.get("/fails/{device}")
    async def fails(device: str) -> None:
        raise RuntimeError("the secret of " + device)

    async with asked(app) as client:
        with capture_logs() as logged:
            answer = await client.get("/fails/mtr-1")
        document = problem(answer, 500)
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        assert set(document) == {"title", "status", "detail"}
        page = (await client.get("/metrics")).text
    assert 'route="/fails/{device}",status="500"} 1.0' in page
    assert "request_failed" in [line["event"] for line in logged]


async def test_every_answer_has_the_headers_for_browsers(client: Client) -> None:
    for answer in (
        await client.get("/v1/sessions/active"),
        await client.get("/nothing"),
        await client.post("/v1/sessions/start", content=b"{"),
        await client.get("/health/live"),
        await client.get("/metrics"),
    ):
        assert SECURITY_HEADERS.items() <= dict(answer.headers).items()
        assert "default-src 'self'" in answer.headers["content-security-policy"]


async def test_requests_are_counted_by_route_and_never_by_device(client: Client) -> None:
    await client.get("/v1/telemetry/meter/secret-meter/current")
    await client.get("/v1/devices/vehicles/secret-vehicle/assignments")
    await client.get("/nothing/secret-path")
    await client.request("SECRET", "/v1/sessions/active")
    page = (await client.get("/metrics")).text
    assert "secret" not in page.lower()
    requests = 'telemetry_http_requests_total{method="GET",route='
    seconds = 'telemetry_http_request_seconds_count{method="GET",route='
    for series in (
        requests + '"/v1/telemetry/meter/{meter_id}/current",status="404"} 1.0',
        requests + '"/v1/devices/vehicles/{vehicle_id}/assignments",status="200"} 1.0',
        requests + '"none",status="404"} 1.0',
        seconds + '"/v1/telemetry/meter/{meter_id}/current"} 1.0',
        'telemetry_pool_connections{pool="write",state="idle"}',
        'telemetry_pool_waiting{pool="write"} 0.0',
        'method="other"',
    ):
        assert series in page, series


async def test_reads_go_to_the_replica_if_there_is_one(
    make_app: Callable[..., FastAPI], rows: Rows, database_url: str
) -> None:
    # Another database stands for a replica that has not yet heard of what is written.
    async with asked(make_app(DATABASE_READ_URL=database_url)) as client:
        made = await client.post("/v1/devices/meters", json={"meterId": "m"})
        assert made.status_code == 201
        assert rows.execute("SELECT meter_id FROM meter").fetchone() == {"meter_id": "m"}
        problem(await client.get("/v1/devices/meters/m"), 404)
        assert (await client.get("/health/ready")).status_code == 200
        page = (await client.get("/metrics")).text
    assert 'telemetry_pool_connections{pool="read"' in page
    assert 'telemetry_pool_connections{pool="write"' in page


async def test_options_of_the_url_are_kept_beside_our_own(
    make_app: Callable[..., FastAPI], api_database: str
) -> None:
    url = f"{api_database}?options=-c%20search_path%3Dpublic,other%20-c%20timezone%3DCET"
    app = make_app(DATABASE_URL=url, DATABASE_STATEMENT_TIMEOUT_S="7")
    async with asked(app), app.state.parts.database.read() as connection:
        for name, value in (
            ("search_path", "public,other"),
            ("timezone", "UTC"),
            ("statement_timeout", "7s"),
        ):
            found = await (await connection.execute(f"SHOW {name}")).fetchone()
            assert list(found.values()) == [value]


async def test_ids_that_are_dots_are_ids_if_the_client_sends_them(
    client: Client, rows: Rows
) -> None:
    for dots in (".", ".."):
        escaped = dots.replace(".", "%2E")
        store_meter(rows, dots, [(NOW, 1.0)])
        store_vehicle(rows, dots, [(NOW, 1.0)])
        for path in DEVICE_PATHS[:5]:
            answer = await client.get(path.format(escaped))
            assert answer.status_code in (200, 404), answer.text
        shown = await client.get(f"/v1/telemetry/meter/{escaped}/current")
        assert shown.json()["meterId"] == dots
        listed = await client.get("/v1/telemetry/meters/current")
        assert dots in [one["meterId"] for one in listed.json()["items"]]
        found = await client.get("/vehicles", params={"q": dots})
        assert found.status_code in (200, 303)
    # A client may resolve the dots itself: then the path is another one.
    for path in ("/v1/devices/meters/..", "/v1/devices/meters/.", "/v1/telemetry/meter/../current"):
        assert (await client.get(path)).status_code in (200, 404)


async def test_a_statement_that_takes_too_long_is_ended(
    make_app: Callable[..., FastAPI], rows: Rows
) -> None:
    async with asked(make_app(DATABASE_STATEMENT_TIMEOUT_S="0.2")) as client:
        with rows.transaction():
            rows.execute("LOCK TABLE meter IN ACCESS EXCLUSIVE MODE")
            answer = await client.get("/v1/devices/meters")
        problem(answer, 503)
        assert answer.headers["retry-after"]
        assert (await client.get("/v1/devices/meters")).status_code == 200
