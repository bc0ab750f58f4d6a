"""The live stream: new states reach the listeners that asked for them."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, Self

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from psycopg.rows import dict_row

from api.live import stream as live_module
from api.live.event import Event as NewState
from api.live.listener import Listener
from api.routes import live as live_routes
from tests.api.conftest import Client, Rows, problem, served
from tests.api.readings import MINUTE, NOW, stamp, store_meter, store_vehicle
from tests.api.waiting import until
from tests.asked import PATIENCE_S

PATH = "/v1/live"
KEYS = ("one-key", "another-key", "a-third-key")
DIGESTS = [hashlib.sha256(key.encode()).hexdigest() for key in KEYS]


class Event(NamedTuple):
    """One event of the stream; a comment has only data."""

    kind: str
    id: str
    data: str

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.data)
        return state


class Stream:
    """The events of an answer, one after the other."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        fields = {"event": "", "id": "", "data": "", "": ""}
        async with asyncio.timeout(PATIENCE_S):
            async for line in self._lines:
                if not line:
                    return Event(fields["event"], fields["id"], fields["data"] or fields[""])
                name, _, value = line.partition(": ")
                fields[name.rstrip(":")] = value
        raise StopAsyncIteration


@asynccontextmanager
async def listening(client: Client, **asked: Any) -> AsyncIterator[Stream]:
    async with client.stream("GET", PATH, **asked) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        stream = Stream(answer)
        assert (await anext(stream)).data == "listening"
        yield stream


async def test_a_new_state_reaches_the_listeners_that_asked_for_it(
    make_app: Callable[..., FastAPI], rows: Rows
) -> None:
    store_meter(rows, "m-0", [(NOW, 1.0)])
    async with (
        served(make_app()) as client,
        listening(client) as everything,
        listening(client, params={"vehicleId": ["v-1", "v-2"]}) as vehicles,
        listening(client, params={"meterId": "m-1", "vehicleId": "m-2"}) as mixed,
    ):
        store_meter(rows, "m-1", [(NOW, 1.5)])
        store_meter(rows, "m-2", [(NOW, 2.5)])
        store_vehicle(rows, "v-1", [(NOW, 3.5)])
        store_vehicle(rows, "v-3", [(NOW, 4.5)])
        store_vehicle(rows, "v-2", [(NOW, 5.5)])
        heard = [await anext(everything) for _ in range(5)]
        assert [one.kind for one in heard] == ["meter"] * 2 + ["vehicle"] * 3
        shown = await client.get("/v1/telemetry/meter/m-1/current")
        assert heard[0].state == shown.json()
        assert heard[0].state.items() >= {"kwhConsumedAc": 1.5, "timestamp": stamp(NOW)}.items()
        named = [(await anext(vehicles)).state["vehicleId"] for _ in range(2)]
        assert named == ["v-1", "v-2"]
        # A name is that of a meter or of a vehicle, as it was asked for.
        assert (await anext(mixed)).state["meterId"] == "m-1"
        store_meter(rows, "m-1", [(NOW + MINUTE, 6.5)])
        assert (await anext(mixed)).state["kwhConsumedAc"] == 6.5
        assert (await anext(everything)).state["kwhConsumedAc"] == 6.5


async def test_a_state_that_is_committed_late_is_sent_all_the_same(
    make_app: Callable[..., FastAPI], rows: Rows, api_database: str
) -> None:
    async with served(make_app()) as client, listening(client) as stream:
        with psycopg.connect(api_database, row_factory=dict_row) as slow:
            slow.execute("SELECT now()")  # a transaction has begun, and goes on
            store_meter(slow, "slow", [(NOW, 1.0)])
            store_meter(rows, "fast", [(NOW, 1.0)])
            assert (await anext(stream)).state["meterId"] == "fast"
            store_meter(rows, "faster", [(NOW, 1.0)])
            assert (await anext(stream)).state["meterId"] == "faster"
            slow.commit()
            assert (await anext(stream)).state["meterId"] == "slow"


async def test_a_listener_that_comes_back_is_sent_what_it_missed(
    make_app: Callable[..., FastAPI], rows: Rows
) -> None:
    app = make_app()
    async with served(app) as client:
        async with listening(client) as stream:
            store_meter(rows, "m-1", [(NOW, 1.0)])
            last = await anext(stream)
        store_meter(rows, "m-2", [(NOW, 2.0)])
        store_vehicle(rows, "v-1", [(NOW, 3.0)])
        headers = {"Last-Event-ID": last.id}
        async with listening(client, headers=headers) as stream:
            missed = {(await anext(stream)).id for _ in range(3)}
        assert last.id in missed  # a state may come twice
        async with listening(client, headers=headers, params={"vehicleId": "v-1"}) as stream:
            assert (await anext(stream)).state["vehicleId"] == "v-1"
        for wrong in ("x", "-1", "1.5", "9" * 21):
            answer = await client.get(PATH, headers={"Last-Event-ID": wrong})
            problem(answer, 422)
        # Blank is what an event without an id leaves behind.
        await until(lambda: not app.state.parts.live.is_looking)
        async with listening(client, headers={"Last-Event-ID": ""}) as stream:
            store_meter(rows, "m-8", [(NOW, 1.0)])
            assert (await anext(stream)).state["meterId"] == "m-8"
        await until(lambda: not app.state.parts.live.is_looking)
        far = {"Last-Event-ID": "9" * 20}
        async with listening(client, headers=far) as stream:
            store_meter(rows, "m-9", [(NOW, 1.0)])
            assert (await anext(stream)).state["meterId"] == "m-9"


async def test_an_id_that_no_device_can_have_is_not_listened_for(client: Client) -> None:
    for name in ("vehicleId", "meterId"):
        for wrong in ("", "a b", "x" * 65):
            asked = {name: ["m-1", wrong]}
            # First without a body, because a stream of nothing would have no end.
            assert (await client.head(PATH, params=asked)).status_code == 422
            problem(await client.get(PATH, params=asked), 422, f"{name}.1")


async def test_a_listener_that_is_too_slow_is_told_and_dropped(
    make_app: Callable[..., FastAPI], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_routes, "Listener", partial(Listener, most_waiting=2))
    async with served(make_app()) as client, listening(client) as stream:
        with rows.transaction():
            for number in range(5):
                store_meter(rows, f"m-{number}", [(NOW, 1.0)])
        heard = [one async for one in stream]
        page = (await client.get("/metrics")).text
    assert [one.kind for one in heard][-2:] == ["meter", "dropped"]
    assert len(heard) <= 3
    assert "too slow" in heard[-1].data
    assert "telemetry_live_listeners_dropped_total 1.0" in page


async def test_all_listeners_share_one_query_and_without_any_there_is_none(
    make_app: Callable[..., FastAPI], rows: Rows
) -> None:
    app = make_app()
    parts = app.state.parts
    looks: list[datetime] = []
    look: Callable[[], Awaitable[Iterable[NewState]]] = parts.live._look

    async def counted() -> Iterable[NewState]:
        looks.append(NOW)
        return await look()

    parts.live._look = counted
    async with served(app) as client:
        assert not parts.live.is_looking
        assert looks == []
        async with listening(client) as one, listening(client) as other, listening(client) as third:
            before = len(looks)
            store_meter(rows, "m", [(NOW, 1.0)])
            for stream in (one, other, third):
                assert (await anext(stream)).state["meterId"] == "m"
            # As many as seconds have passed, and not three times as many.
            assert len(looks) - before <= 2
        await until(lambda: not parts.live.is_looking)


async def test_listeners_are_told_that_the_server_ends(make_app: Callable[..., FastAPI]) -> None:
    app = make_app()
    async with served(app) as client, listening(client) as stream:
        app.state.parts.live.end()
        rest = [one async for one in stream]
        assert [(one.kind, one.data) for one in rest] == [
            ("dropped", "the server ends; connect again")
        ]
        async with listening(client) as late:
            assert (await anext(late)).kind == "dropped"


async def test_the_number_of_listeners_is_bounded(
    make_app: Callable[..., FastAPI],
) -> None:
    app = make_app(LIVE_LISTENERS="2", LIVE_CLIENT_LISTENERS="1", API_KEYS=",".join(DIGESTS))
    one, other, third = ({"Authorization": f"Bearer {key}"} for key in KEYS)
    async with served(app) as client:
        async with listening(client, headers=one):
            # A client has its share, and takes no other's.
            answer = await client.get(PATH, headers=one)
            problem(answer, 429)
            assert answer.headers["retry-after"]
            async with listening(client, headers=other):
                answer = await client.get(PATH, headers=third)
                problem(answer, 503)
                assert answer.headers["retry-after"]
                page = (await client.get("/metrics", headers=one)).text
                assert 'telemetry_http_refused_total{bound="live_listeners"} 2.0' in page
                assert "telemetry_live_listeners 2.0" in page
        await until(lambda: not app.state.parts.live.is_looking)
        async with listening(client, headers=one):
            pass


async def test_a_listener_is_sent_the_last_minutes_however_far_back_it_asks(
    make_app: Callable[..., FastAPI], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "PAGE", 2)
    for number in range(7):
        store_meter(rows, f"m-{number}", [(NOW, 1.0)])
        store_vehicle(rows, f"v-{number}", [(NOW, 1.0)])
    # In one flush, which has one time.
    rows.execute("UPDATE meter_current_state SET updated_at = now() - interval '1 minute'")
    rows.execute(
        "UPDATE meter_current_state SET updated_at = now() - interval '16 minutes'"
        " WHERE meter_id = 'm-3'"
    )
    async with served(make_app()) as client:
        for new, far in (("m-8", "0"), ("m-9", "1770717601000000")):
            async with listening(client, headers={"Last-Event-ID": far}) as stream:
                heard = [(await anext(stream)).state for _ in range(13)]
                store_meter(rows, new, [(NOW, 1.0)])
                heard.append((await anext(stream)).state)
            rows.execute("DELETE FROM meter_current_state WHERE meter_id = %s", [new])
            named = [one.get("meterId") or one["vehicleId"] for one in heard]
            meters = [f"m-{number}" for number in range(7) if number != 3]
            assert named == [*meters, *(f"v-{number}" for number in range(7)), new]
        asked = {"meterId": ["m-5", "m-3"], "vehicleId": "v-1"}
        async with listening(client, headers={"Last-Event-ID": "0"}, params=asked) as stream:
            named = [(await anext(stream)).data.split('"')[3] for _ in range(2)]
            assert named == ["m-5", "v-1"]


async def test_a_listener_can_name_a_bounded_number_of_devices(client: Client) -> None:
    for name in ("vehicleId", "meterId"):
        answer = await client.get(PATH, params={name: [f"d-{number}" for number in range(101)]})
        problem(answer, 422, name)
        assert len(answer.content) < 1_000
