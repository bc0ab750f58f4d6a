"""Named clients: their scopes over every route, their devices, and how they are told apart."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from api.problems import FOREIGN_DEVICE, WRONG_SCOPE
from api.routes import ingest
from deploy.local.stack import Addresses
from tests.api.conftest import Rows, problem
from tests.api.operations import operations
from tests.api.readings import NOW, encode, meter, store_meter, store_vehicle, vehicle
from tests.api.stanzas import by, stanza
from tests.api.topic import Topic
from tests.asked import asked

SCOPES = ("ingest", "read", "admin")
OPEN = ("/health", "/docs", "/openapi.json", "/static/")
CURRENT = "/v1/telemetry/meters/current"


@pytest.fixture
def make(make_app: Callable[..., FastAPI], tmp_path: Path) -> Callable[..., FastAPI]:
    """Make the application with a file of these clients."""

    def made(*stanzas: str, **settings: str) -> FastAPI:
        file = tmp_path / "clients.toml"
        file.write_text("\n".join(stanzas))
        return make_app(API_CLIENTS_FILE=str(file), **settings)

    return made


def needs(app: FastAPI) -> Iterator[tuple[str, str, str]]:
    """Yield the method and address of each route, and the scope that it needs, by its router."""
    for method, path in operations(app):
        if path.startswith(OPEN):
            continue
        if method == "GET":
            # Streams have no end; HEAD is answered as GET.
            yield "HEAD" if path == "/v1/live" else "GET", path, "read"
        else:
            yield method, path, "ingest" if path in ingest.PATHS else "admin"


async def test_every_route_needs_exactly_one_scope(make: Callable[..., FastAPI]) -> None:
    app = make(*(stanza(scope, f"{scope}-key", scopes=[scope]) for scope in SCOPES))
    wanted = list(needs(app))
    assert {scope for *_, scope in wanted} == set(SCOPES)
    async with asked(app) as client:
        for method, path, needed in wanted:
            for scope in SCOPES:
                answer = await client.request(method, path, headers=by(f"{scope}-key"))
                said = (method, path, scope, answer.text)
                if scope == needed:
                    assert answer.status_code not in (401, 403), said
                elif method == "HEAD":
                    assert answer.status_code == 403, said
                else:
                    document = problem(answer, 403)
                    assert document["type"] == WRONG_SCOPE, said
                    assert needed in str(document["detail"]), said
        described = (await client.get("/openapi.json")).json()["paths"]
        for path, methods in described.items():
            for method, operation in methods.items():
                if path.startswith("/v1/"):
                    [roles] = {
                        tuple(one["bearer"]) for one in operation["security"] if "bearer" in one
                    }
                    read = "ingest" if operation["tags"] == ["ingest"] else "admin"
                    assert roles == ("read" if method == "get" else read,), (method, path)


MINE = {"meter_id": "mtr-a-1", "vehicle_id": "veh-a-1"}
OTHERS = {"meter_id": "mtr-b-1", "vehicle_id": "veh-b-1"}


def questions(app: FastAPI, ids: dict[str, str]) -> Iterable[str]:
    """Return the address of each route that answers about one device."""
    for path in app.openapi()["paths"]:
        if "get" in app.openapi()["paths"][path] and ("meter_id" in path or "vehicle_id" in path):
            yield path.format(**ids)
    yield f"/vehicles/{ids['vehicle_id']}"
    yield f"/v1/sessions?vehicleId={ids['vehicle_id']}&meterId={ids['meter_id']}"


async def test_a_client_with_prefixes_asks_about_its_own_devices_only(
    make: Callable[..., FastAPI], rows: Rows
) -> None:
    for ids in (MINE, OTHERS):
        store_meter(rows, ids["meter_id"], [(NOW, 1.0)])
        store_vehicle(rows, ids["vehicle_id"], [(NOW, 1.0)])
    limited = stanza("a", "a-key", scopes=["read"], prefixes=["mtr-a-", "veh-a-"])
    app = make(limited, stanza("all", "all-key", scopes=["read"]))
    async with asked(app) as client:

        async def refused(path: str) -> None:
            answer = await client.get(path, headers=by("a-key"))
            assert answer.status_code == 403, path
            if path.startswith("/v1/"):
                assert problem(answer, 403)["type"] == FOREIGN_DEVICE, path
            assert (await client.head(path, headers=by("all-key"))).status_code != 403, path

        mine, others = list(questions(app, MINE)), list(questions(app, OTHERS))
        assert len(mine) == len(others) == 14
        for path in mine:
            answer = await client.get(path, headers=by("a-key"))
            assert answer.status_code in (200, 404), (path, answer.text)
        for path in others:
            await refused(path)
        # Of several devices, each has to be the client's.
        performance, live = f"/v1/analytics/performance/{MINE['vehicle_id']}", "/v1/live"
        await refused(f"{performance}?meterId=mtr-b-1")
        await refused(f"{live}?vehicleId=veh-a-1&vehicleId=veh-b-1")
        own = await client.head(f"{live}?vehicleId=veh-a-1&meterId=mtr-a-1", headers=by("a-key"))
        assert own.status_code == 200
        for path in (CURRENT, live, "/", "/vehicles", "/vehicles?q=veh-a-", "/metrics"):
            await refused(path)
        for path in ("/v1/analytics/fleet/performance", "/v1/sessions", "/v1/sessions/1"):
            await refused(path)
        assert (await client.get("/docs", headers=by("a-key"))).status_code == 200


async def test_a_client_with_prefixes_sends_readings_of_its_own_devices_only(
    make: Callable[..., FastAPI], servers: Addresses
) -> None:
    app = make(stanza("gw", "gw-key", scopes=["ingest"], prefixes=["mtr-a-", "veh-a-"]))
    mine, other = meter("mtr-a-1"), meter("mtr-b-1")
    path = "/v1/telemetry"
    async with asked(app) as client:

        async def send(where: str, body: object) -> tuple[int, dict[str, object]]:
            answer = await client.post(path + where, content=encode(body), headers=by("gw-key"))
            return answer.status_code, answer.json()

        with Topic(servers.kafka_bootstrap_servers, "telemetry.meter") as topic:
            for where, body in (
                ("/meter", other),
                ("/vehicle", vehicle("veh-b-1")),
                ("/ingest", other),
                ("/ingest", {"streamType": "meter", "payload": other}),
                ("/meter/batch", {"data": [other, other]}),
                ("/ingest/batch", {"records": [other, vehicle("veh-b-1")]}),
            ):
                status, document = await send(where, body)
                assert status == 403, where
                assert (document["type"], document["accepted"]) == (FOREIGN_DEVICE, 0), where
            # What is no reading is still named as such.
            assert (await send("/meter", {**other, "voltage": "x"}))[0] == 422
            assert (await send("/meter/batch", {"data": [other, {}]}))[0] == 422
            status, document = await send("/meter/batch", {"data": [other, mine, {}, mine]})
            assert status == 202
            rejected = document["rejected"]
            assert isinstance(rejected, list)
            assert document["accepted"] == 2
            assert [(one["index"], one["reason"]) for one in rejected] == [
                (0, "foreign_device"),
                (2, "missing_field"),
            ]
            assert (rejected[0]["field"], "mtr-b-1" in rejected[0]["detail"]) == ("meterId", True)
            assert [one.key for one in topic.new()] == [b"mtr-a-1"] * 2
        # A body of more than a few readings is judged on a thread.
        many = [meter(f"mtr-b-{number}") for number in range(200)]
        assert (await send("/meter/batch", {"data": many}))[0] == 403


async def test_both_keys_of_a_client_are_one_caller_with_one_rate(
    make: Callable[..., FastAPI],
) -> None:
    app = make(
        stanza("gw", "old", "new", scopes=["read"]),
        stanza("desk", "desk-key", scopes=["read"]),
        API_KEYS=",".join(sha256(key).hexdigest() for key in (b"first", b"second")),
        RATE_LIMIT_PER_MINUTE="4",
    )
    async with asked(app) as client:
        with capture_logs() as log:
            told = [
                (await client.get(CURRENT, headers=by(key))).status_code
                for key in ("old", "new") * 5
            ]
        # The rate is that of a sliding minute: its edge may lie between any two of these.
        assert told[:4] == [200] * 4
        assert 429 in told
        assert {one["caller"] for one in log if one["event"] == "request_answered"} == {"client:gw"}
        for key in ("desk-key", "second"):
            assert (await client.get(CURRENT, headers=by(key))).status_code == 200
        for path in ("/nothing", "/v1/devices/meters"):
            problem(await client.get(path, headers=by("wrong")), 401)
        page = (await client.get("/metrics", headers=by("first"))).text
    counted = 'telemetry_http_client_requests_total{client="'
    for series in ('gw",status="2xx"', 'gw",status="4xx"', 'key-2",status="2xx"} 1.0'):
        assert counted + series in page, series
    assert counted + '(none)",status="4xx"} 2.0' in page
    assert "wrong" not in page


async def test_access_ends_at_its_time_with_a_reason(make: Callable[..., FastAPI]) -> None:
    ended = stanza("gw", "gw-key", scopes=["read"]) + "expires = 2026-01-31\n"
    lasting = stanza("desk", "desk-key", scopes=["read"]) + "expires = 2100-01-31\n"
    async with asked(make(ended, lasting)) as client:
        document = problem(await client.get(CURRENT, headers=by("gw-key")), 401)
        assert document["detail"] == "the access of client gw ended at 2026-01-31 00:00:00Z"
        assert (await client.get(CURRENT, headers=by("desk-key"))).status_code == 200
        assert (await client.get("/health/live")).status_code == 200


async def test_a_file_of_clients_lets_the_api_be_reached_from_elsewhere(
    make: Callable[..., FastAPI],
) -> None:
    app = make(stanza("desk", "desk-key", scopes=["read"]), HTTP_HOST="0.0.0.0")  # noqa: S104  which needs keys
    async with asked(app) as client:
        host = {"Host": "wattline.example"}
        problem(await client.get(CURRENT, headers=host), 401)
        assert (await client.get(CURRENT, headers=host | by("desk-key"))).status_code == 200
