"""Accepted readings are in the topic, byte by byte; refused ones say why."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest
from aiokafka.partitioner import murmur2
from fastapi import FastAPI

from api.ingest.batches import MOST_READINGS
from deploy.local.stack import Addresses
from producer_sim.sending.partitions import Partitions
from runtime.kafka.topics import DEFAULT_PARTITIONS
from tests.api.conftest import Client, problem, served
from tests.api.readings import NOW, encode, meter, stamp, vehicle
from tests.api.topic import Topic
from tests.asked import asked

PATHS = "/v1/telemetry"
SPACED = (
    b' { "timestamp":"%s", "voltage":2.3e2,"meterId":"mtr-sp","extra":[1,{}],"kwhConsumedAc":1.0}\n'
    % stamp(NOW).encode()
)


@pytest.mark.parametrize(
    ("path", "body", "topic", "key", "value"),
    [
        ("/meter", SPACED, "meter", b"mtr-sp", SPACED),
        ("/vehicle", encode(vehicle()), "vehicle", b"veh-1", encode(vehicle())),
        ("/ingest", encode(meter()), "meter", b"mtr-1", encode(meter())),
        ("/ingest", encode(vehicle()), "vehicle", b"veh-1", encode(vehicle())),
        (
            "/ingest",
            b'{"streamType":"meter","payload":' + SPACED + b"}",
            "meter",
            b"mtr-sp",
            SPACED.strip(),
        ),
        (
            "/ingest",
            encode({"payload": vehicle("v:2"), "streamType": "vehicle"}),
            "vehicle",
            b"v:2",
            encode(vehicle("v:2")),
        ),
        # The fields of a reading may be any: these do not make an envelope of it.
        (
            "/ingest",
            encode(meter(payload={"a": 1})),
            "meter",
            b"mtr-1",
            encode(meter(payload={"a": 1})),
        ),
    ],
)
async def test_an_accepted_reading_is_in_the_topic_as_it_came(  # noqa: PLR0917  pytest names them
    client: Client,
    servers: Addresses,
    path: str,
    body: bytes,
    topic: str,
    key: bytes,
    value: bytes,
) -> None:
    with Topic(servers.kafka_bootstrap_servers, f"telemetry.{topic}") as there:
        answer = await client.post(PATHS + path, content=body)
        stored = there.new()
    assert answer.status_code == 202, answer.text
    assert answer.json() == {"accepted": 1, "rejected": []}
    partition = (murmur2(key) & 0x7FFFFFFF) % DEFAULT_PARTITIONS
    assert stored == [(partition, key, value)]
    assert Partitions(count=DEFAULT_PARTITIONS)[key] == partition


@pytest.mark.parametrize(
    ("path", "name", "make"),
    [("/meter/batch", "data", meter), ("/vehicle/batch", "data", vehicle)],
)
async def test_a_batch_is_taken_except_for_the_bad_readings_which_are_named(
    client: Client,
    servers: Addresses,
    path: str,
    name: str,
    make: Callable[..., dict[str, object]],
) -> None:
    measure = "voltage" if make is meter else "soc"
    id_field = "meterId" if make is meter else "vehicleId"
    items = [
        make("a"),
        make("b", timestamp="2026-02-10"),
        make("c", **{measure: 1e9}),
        {id_field: "d"},
        make("é"),
        make("e", **{measure: "12"}),
        [],
        make("f", timestamp="2999-01-01T00:00:00Z"),
        make("g", timestamp="2001-01-01T00:00:00Z"),
        make("z"),
    ]
    with Topic(servers.kafka_bootstrap_servers, f"telemetry.{path.split('/')[1]}") as there:
        answer = await client.post(PATHS + path, content=encode({name: items}))
        stored = there.new()
    assert answer.status_code == 202
    found = answer.json()
    assert found["accepted"] == 2
    assert [(one["index"], one["reason"], one["field"]) for one in found["rejected"]] == [
        (1, "invalid_timestamp", "timestamp"),
        (2, "out_of_range", measure),
        (3, "missing_field", "kwhConsumedAc" if make is meter else "kwhDeliveredDc"),
        (4, "invalid_device_id", id_field),
        (5, "wrong_type", measure),
        (6, "not_an_object", None),
        (7, "future_timestamp", "timestamp"),
        (8, "too_old", "timestamp"),
    ]
    assert all(one["detail"] for one in found["rejected"])
    assert sorted(one.value for one in stored) == [encode(items[0]), encode(items[-1])]


async def test_a_mixed_batch_holds_both_kinds_in_both_forms(
    client: Client, servers: Addresses
) -> None:
    records = [
        meter("m-1"),
        vehicle("v-1"),
        {"streamType": "meter", "payload": meter("m-2")},
        {"streamType": "vehicle", "payload": vehicle("v-2")},
        {"streamType": "meter", "payload": vehicle("v-3")},
        {"streamType": "boat", "payload": meter("m-3")},
        {"streamType": "meter"},
        {"payload": meter("m-4")},
        {},
    ]
    bootstrap = servers.kafka_bootstrap_servers
    with Topic(bootstrap, "telemetry.meter") as meters, Topic(bootstrap, "telemetry.vehicle") as ev:
        answer = await client.post(f"{PATHS}/ingest/batch", content=encode({"records": records}))
        assert {one.key for one in meters.new()} == {b"m-1", b"m-2"}
        assert {one.key for one in ev.new()} == {b"v-1", b"v-2"}
    found = answer.json()
    assert (answer.status_code, found["accepted"]) == (202, 4)
    assert [(one["index"], one["reason"], one["field"]) for one in found["rejected"]] == [
        (4, "missing_field", "meterId"),
        (5, "wrong_type", "streamType"),
        (6, "missing_field", "payload"),
        (7, "missing_field", "streamType"),
        (8, "missing_field", None),
    ]


NOTHING_GOOD = (
    ("/meter", b"", None),
    ("/meter", b"{", None),
    ("/meter", b"\xff", None),
    ("/meter", b"\xef\xbb\xbf" + encode(meter()), None),
    ("/meter", b"[" * 100_000, None),
    ("/meter", encode(meter(voltage=-1)), "voltage"),
    ("/vehicle", encode(meter()), "vehicleId"),
    ("/meter", encode(meter(voltage=float("nan"))), None),
    ("/meter", encode(meter(pad="x" * 66_000)), None),
    ("/ingest", b"null", None),
    ("/ingest", b"{}", None),
    ("/ingest", b'{"\xff":1}', None),
    ("/ingest/batch", b'{"records":[{"\xff":1}]}', None),
    ("/meter/batch", b"", "body"),
    ("/meter/batch", b"[]", "data"),
    ("/meter/batch", encode(meter()), "data"),
    ("/meter/batch", b'{"data":[]}', "data"),
    ("/meter/batch", b'{"data":{}}', "data"),
    ("/meter/batch", b'{"data":[{},{}]}', None),
    ("/ingest/batch", b'{"data":[]}', "records"),
    ("/ingest/batch", b'{"records":[1]}', None),
)


async def test_a_batch_without_an_acceptable_reading_is_422(
    client: Client, servers: Addresses
) -> None:
    with Topic(servers.kafka_bootstrap_servers, "telemetry.meter") as there:
        for path, body, field in NOTHING_GOOD:
            document = problem(await client.post(PATHS + path, content=body), 422, field)
            assert document.get("accepted", 0) == 0
        assert there.new() == []


NEITHER = "the value is neither a meter's nor a vehicle's reading"


async def test_a_reading_of_neither_kind_is_refused(client: Client) -> None:
    items: tuple[tuple[object, str, str], ...] = (
        ({}, "missing_field", NEITHER),
        ({"id": "mtr-1", "kwh": 1}, "missing_field", NEITHER),
        ({"timestamp": stamp(NOW)}, "missing_field", NEITHER),
        # One that lacks its id is told apart by its other fields.
        ({"kwhConsumedAc": 1}, "missing_field", "meterId: Field required"),
        ({"soc": "x", "timestamp": 1}, "missing_field", "vehicleId: Field required"),
        ([], "not_an_object", "the value is a JSON array"),
    )
    for item, reason, said in items:
        for path, body in (("/ingest", item), ("/ingest/batch", {"records": [item]})):
            document = problem(await client.post(PATHS + path, content=encode(body)), 422)
            [rejected] = cast("list[dict[str, str]]", document["rejected"])
            assert rejected["reason"] == reason
            assert rejected["detail"].startswith(said)


async def test_bytes_that_are_not_json_are_named(client: Client) -> None:
    for path, body in (
        (f"{PATHS}/meter/batch", {"data": [meter()]}),
        (f"{PATHS}/ingest/batch", {"records": [meter()]}),
        ("/v1/devices/meters", {"meterId": "m"}),
        ("/v1/sessions/1/end", {}),
    ):
        text = encode(body)
        for foreign, name in (
            (b"\0\0\0\0\x07" + text, "begins with a schema registry's prefix"),
            (gzip.compress(text), "is compressed with gzip"),
        ):
            document = problem(await client.post(path, content=foreign), 422, "body")
            assert document["detail"] == f"body: {name}"
    for path in ("/meter", "/vehicle", "/ingest"):
        for foreign, name in (
            (b"\xef\xbb\xbf", "begins with a byte-order mark"),
            (b"\0\0\0\0\x07", "begins with a schema registry's prefix"),
        ):
            answer = await client.post(PATHS + path, content=foreign + encode(meter()))
            [rejected] = cast("list[dict[str, str]]", problem(answer, 422)["rejected"])
            assert (rejected["reason"], rejected["detail"]) == (
                "malformed_json",
                f"the value {name}",
            )
    for path in ("/meter/batch", "/ingest/batch"):
        marked = b"\xef\xbb\xbf" + encode({"data": [meter()]})
        document = problem(await client.post(PATHS + path, content=marked), 422, "body")
        assert document["detail"] == "body: begins with a byte-order mark"


async def test_5000_readings_are_taken_and_one_more_is_not(
    client: Client, servers: Addresses
) -> None:
    most = [meter(f"m-{number}") for number in range(MOST_READINGS)]
    with Topic(servers.kafka_bootstrap_servers, "telemetry.meter") as there:
        answer = await client.post(f"{PATHS}/meter/batch", content=encode({"data": most}))
        assert (answer.status_code, answer.json()["accepted"]) == (202, MOST_READINGS)
        assert len({one.key for one in there.new()}) == MOST_READINGS
    more = encode({"data": [*most, meter()]})
    problem(await client.post(f"{PATHS}/meter/batch", content=more), 413)


@pytest.mark.parametrize("path", ["/meter", "/ingest/batch", "/meter/nobody", "/../devices/meters"])
async def test_more_than_8_mib_is_refused_with_a_length_and_without(
    make_app: Callable[..., FastAPI], path: str
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(9 * 16 + 1):
            yield b" " * 65_536

    async with served(make_app()) as client:
        whole = b" " * ((8 << 20) + 1)
        problem(await client.post(PATHS + path, content=whole), 413)
        if path != "/meter/nobody":  # whose body is never looked at
            problem(await client.post(PATHS + path, content=chunks()), 413)
        # A body of exactly the limit is read, and is not a reading.
        problem(await client.post(f"{PATHS}/meter", content=whole[1:]), 422)


async def test_many_requests_at_once_are_each_acknowledged(
    client: Client, servers: Addresses
) -> None:
    with Topic(servers.kafka_bootstrap_servers, "telemetry.vehicle") as there:
        answers = await asyncio.gather(
            *(
                client.post(f"{PATHS}/vehicle", content=encode(vehicle(f"v-{number}")))
                for number in range(100)
            )
        )
        stored = there.new()
    assert {answer.status_code for answer in answers} == {202}
    assert sorted(json.loads(one.value)["vehicleId"] for one in stored) == sorted(
        f"v-{number}" for number in range(100)
    )


async def test_readings_are_counted_by_their_outcome(
    make_app: Callable[..., FastAPI],
) -> None:
    async with asked(make_app()) as client:
        await client.post(f"{PATHS}/meter/batch", content=encode({"data": [meter(), {}, {}]}))
        page = (await client.get("/metrics")).text
    assert 'telemetry_gateway_readings_total{outcome="accepted"} 1.0' in page
    assert 'telemetry_gateway_readings_total{outcome="rejected"} 2.0' in page
    assert "mtr-1" not in page
