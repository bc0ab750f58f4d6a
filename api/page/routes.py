"""`/`, `/vehicles`, `/vehicles/{id}`, `/docs` and `/static/`.

A problem is a page here too, which says what to do.
"""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute

from api.figures.figures import DAY_KEPT_S, MOST_LETTERS, NOW_KEPT_S
from api.figures.window import HOUR
from api.page.assets import assets
from api.page.chart.day import day_chart
from api.page.chart.fleet import fleet_chart
from api.page.day import MOST_ROWS, MOST_SESSIONS, asked_day, vehicle_day
from api.page.reference import operations
from api.page.render import html, page
from api.parameters import DevicePath
from api.parts import TheParts
from api.problems import Problem
from api.queries.known_vehicles import known_vehicles
from api.rendered import Rendered, rendered_once
from telemetry.readings import DEVICE_ID

IdOrNothing = Annotated[str, Query(pattern=f"^({DEVICE_ID})?$", max_length=64)]
MOST_LISTED = 100
_NOW_WAIT_S, _FLEET_WAIT_S = 10.0, 1.5
_FOREVER = "public, max-age=31536000, immutable"
_NO_ID = "an id has 1 to 64 letters, digits or characters of . _ : -, and nothing else"


class PageRoute(APIRoute):
    """Answers a problem with a page of the same status and headers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except Problem as problem:
                return problem_page(problem)
            except RequestValidationError:
                return problem_page(Problem(422, f"{_NO_ID} can be looked for"))

        return handled


router = APIRouter(
    route_class=PageRoute, include_in_schema=False, default_response_class=HTMLResponse
)


@router.get("/")
async def fleet(parts: TheParts) -> Response:
    """The fleet at a glance; figures that take long are shown once they are there."""
    figures = parts.figures
    now = await figures.now.get(wait_s=_NOW_WAIT_S)
    if now.value is None or now.fault is not None:
        raise now.fault or Problem(
            503, "PostgreSQL takes long to answer", headers={"Retry-After": "5"}
        )
    hours = await figures.hours.get(wait_s=_FLEET_WAIT_S)
    chart = None
    if hours.value is None:
        first = await figures.day.get(wait_s=_FLEET_WAIT_S)
        day, fault = first.value, first.fault or hours.fault
    else:
        day, fault = hours.value.day, hours.fault
        # The last hour is drawn whole, although it is not over.
        chart = fleet_chart((day.window.start, day.window.hours[-1] + HOUR), hours.value.hours)
    return page(
        "fleet",
        now=now.value,
        intake=figures.intake,
        day=day,
        fault=fault,
        hours_known=hours.value,
        chart=chart,
        most_letters=MOST_LETTERS,
        kept=(NOW_KEPT_S, DAY_KEPT_S),
    )


@router.get("/vehicles")
async def vehicles(
    parts: TheParts,
    q: IdOrNothing = "",
    after: IdOrNothing = "",
) -> Response:
    """The vehicles whose ids begin with `q`; the page of the vehicle whose id is `q`, if any."""
    async with parts.database.read() as connection:
        rows = await known_vehicles(connection, prefix=q, after=after, limit=MOST_LISTED + 1)
    if q and not after and rows and rows[0]["vehicle_id"] == q:
        return RedirectResponse(f"/vehicles/{quote(q)}", status_code=303)
    shown = rows[:MOST_LISTED]
    following = shown[-1]["vehicle_id"] if len(rows) > MOST_LISTED else None
    return page("vehicles", rows=shown, q=q, following=following, now=datetime.now(UTC))


@router.get("/vehicles/{vehicle_id}")
async def vehicle(
    parts: TheParts,
    vehicle_id: DevicePath,
    day: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """A vehicle's last 24 hours, or a UTC day of it."""
    asked = asked_day(day, datetime.now(UTC))
    known = await vehicle_day(parts, vehicle_id, asked)
    return page(
        "vehicle",
        vehicle_id=vehicle_id,
        asked=known.asked,
        known=known,
        one=known.performance,
        chart=day_chart(known.chart),
        most_sessions=MOST_SESSIONS,
        most_rows=MOST_ROWS,
    )


@router.get("/docs")
async def docs(request: Request) -> Response:
    """What the API takes and answers."""
    return rendered_once(request, _docs).answer(request)


@router.get("/static/{name}")
async def static(request: Request, name: str, v: str = "") -> Response:
    """A file of this package; a browser may keep it for ever under its newest address."""
    asset = assets().get(name)
    if asset is None:
        raise Problem(404, "this file does not exist")
    if v == asset.version:
        return asset.answer(request, kept=_FOREVER)
    return asset.answer(request)


def _docs(app: FastAPI) -> Rendered:
    document = app.openapi()
    text = html("reference", document=document, tags=operations(document))
    return Rendered(text.encode(), "text/html; charset=utf-8")


def problem_page(problem: Problem) -> HTMLResponse:
    """Return the page that says what went wrong, with the status and headers of the problem."""
    title = HTTPStatus(problem.status).phrase
    answer = page("problem", status=problem.status, title=title, problem=problem)
    answer.headers.update(problem.headers)
    return answer
