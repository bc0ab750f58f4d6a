"""Query parameters: an unknown or repeated one is refused on every path."""

from collections.abc import Callable

from fastapi import FastAPI

from api.queries.windows import DEFAULT
from tests.api.conftest import Client, Rows, problem
from tests.api.operations import operations
from tests.api.readings import MINUTE, NOW, stamp, store_meter, store_vehicle
from tests.asked import asked

HISTORY = "/v1/telemetry/meter/m/history"
WINDOWS = (
    HISTORY,
    "/v1/telemetry/vehicle/v/history",
    "/v1/analytics/performance/v",
    "/v1/analytics/fleet/performance",
    "/v1/analytics/anomalies",
)
NAMES = (("start", "end"), ("startTime", "endTime"), ("from", "to"))
FAR = {"start": "2001-01-01T00:00:00Z", "end": "2001-01-02T00:00:00Z"}


async def test_an_unknown_parameter_is_refused_on_every_path(
    make_app: Callable[..., FastAPI],
) -> None:
    app = make_app()
    async with asked(app) as client:
        for method, path in operations(app):
            answer = await client.request(method, path, params={"colour": "red"}, content=b"{}")
            assert answer.status_code == 422, (method, path, answer.text)
            assert "colour" in answer.text, (method, path)
            if "html" not in answer.headers["content-type"]:
                problem(answer, 422, "colour")
        # An unknown path is reported first.
        problem(await client.get("/nothing?colour=red"), 404)


async def test_the_nearest_known_name_is_suggested(client: Client) -> None:
    for path, name, nearest in (
        ("/v1/sessions", "vehicle_id", "vehicleId"),
        ("/v1/sessions", "VehicleID", "vehicleId"),
        ("/v1/sessions", "meter-id", "meterId"),
        ("/v1/analytics/anomalies", "treshold", "threshold"),
        (HISTORY, "start_time", "startTime"),
        (HISTORY, "Limit", "limit"),
        ("/v1/live", "vehicle", "vehicleId"),
    ):
        answer = await client.get(path, params={name: "x"})
        document = problem(answer, 422, name)
        wanted = f"{name}: is not known here; the nearest known name is {nearest}"
        assert document["detail"] == f"query parameter {wanted}"
    answer = await client.get("/v1/devices/meters/m?verbose")
    assert "this path takes no query parameters" in str(problem(answer, 422, "verbose")["detail"])
    # A name that is far from all gets the whole list: "end" for begin would be worse than no help.
    for path, name, known in (
        (HISTORY, "begin", "start, end, limit, after"),
        ("/v1/sessions/active", "vehicle_id", "limit, after"),
    ):
        document = problem(await client.get(path, params={name: "x"}), 422, name)
        assert document["detail"] == (
            f"query parameter {name}: is not known here; this path takes {known}"
        )
    page = await client.get("/vehicles?p=veh")
    assert page.status_code == 422
    assert "Query parameter p: is not known here" in page.text


async def test_a_second_value_is_refused_for_a_parameter_that_takes_one(
    client: Client, rows: Rows
) -> None:
    for path, query, field in (
        ("/v1/sessions", "limit=1&limit=2", "limit"),
        ("/v1/sessions", "vehicleId=a&vehicleId=a", "vehicleId"),
        (HISTORY, "start=2026-01-01T00:00:00Z&start=", "start"),
        ("/vehicles", "q=a&q=b", "q"),
        ("/static/icon.svg", "v=1&v=2", "v"),
    ):
        answer = await client.get(f"{path}?{query}")
        assert answer.status_code == 422, path
        assert f"arameter {field}: is given more than once" in answer.text
    # Many devices can be listened to.
    answer = await client.head("/v1/live?vehicleId=a&vehicleId=b")
    assert answer.status_code == 200


async def test_the_ends_of_a_window_have_three_names(client: Client, rows: Rows) -> None:
    store_meter(rows, "m", [(NOW - 2 * MINUTE, 1.0), (NOW - DEFAULT - MINUTE, 2.0)])
    store_vehicle(rows, "v", [(NOW - 2 * MINUTE, 1.0)])
    for first, last in NAMES:
        window = {first: stamp(NOW - 2 * DEFAULT), last: stamp(NOW - DEFAULT)}
        found = (await client.get(HISTORY, params=window)).json()
        assert [item["kwhConsumedAc"] for item in found["items"]] == [2.0]
        for path in WINDOWS[2:4]:
            found = (await client.get(path, params=window)).json()["window"]
            assert [found["start"], found["end"]] == list(window.values())
        for path in WINDOWS:
            wrong = await client.get(path, params={first: FAR["end"], last: FAR["start"]})
            document = problem(wrong, 422, first)
            assert document["detail"] == f"{first}: should be earlier than the end"
            for wrong_value in ("yesterday", "x" * 65):
                document = problem(await client.get(path, params={last: wrong_value}), 422, last)
                assert str(document["detail"]).startswith(f"{last}: ")


async def test_two_names_of_one_end_are_refused(client: Client) -> None:
    for path in WINDOWS:
        for names in zip(*NAMES, strict=True):
            for one, other in ((names[0], names[1]), (names[1], names[2]), (names[0], names[2])):
                # Whether they agree or not.
                answer = await client.get(path, params={one: FAR["end"], other: FAR["end"]})
                document = problem(answer, 422, other)
                assert f"{other}: is another name of {one}" in str(document["detail"])


async def test_the_answer_to_a_long_query_is_short(client: Client) -> None:
    answer = await client.get("/v1/sessions?" + "&".join(f"{'x' * 900}{n}=1" for n in range(40)))
    document = problem(answer, 422)
    errors = document["errors"]
    assert isinstance(errors, list)
    assert len(errors) == 20
    assert len(answer.content) < 4_000
    for query in ("=1", "&&=", "%00=1", "%ff=1", "%F0%9F%92%A9", "[]=1", "a;b"):
        problem(await client.get(f"/v1/sessions?{query}"), 422)
    # No parameter at all.
    for query in ("", "&", "&&"):
        assert (await client.get(f"/v1/sessions?{query}")).status_code == 200


async def test_more_parameters_than_any_path_takes_are_not_parsed(client: Client) -> None:
    names = [f"vehicleId=v-{number}" for number in range(100)]
    names += [f"meterId=m-{number}" for number in range(100)]
    told = str(problem(await client.get(f"/health/live?{'&'.join(names)}"), 422, "vehicleId"))
    assert "this path takes no query parameters" in told
    for path in ("/health/live", "/v1/sessions", "/vehicles"):
        answer = await client.get(f"{path}?{'&'.join(f'f{number}' for number in range(251))}")
        assert answer.status_code == 422
        assert "at most 250 query parameters" in answer.text
