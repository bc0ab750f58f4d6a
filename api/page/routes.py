"""`/`, `/vehicles`, `/vehicles/{id}`, `/docs` and `/static/`: what a browser is shown.

What goes wrong is a page here too, and says what to do.
"""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined

from api.figures.figures import BANDS, DAY_KEPT_S, HOUR, MOST_LETTERS, NOW_KEPT_S
from api.page import words
from api.page.assets import address, assets
from api.page.chart.charts import day_chart, fleet_chart
from api.page.day import MOST_ROWS, MOST_SESSIONS, asked_day, vehicle_day
from api.page.reference import operations
from api.parts import TheParts
from api.problems import Problem
from api.queries.statements import statement
from api.rendered import Rendered, rendered_once
from telemetry.readings import DEVICE_ID

MOST_LISTED = 100
_NOW_WAIT_S, _FLEET_WAIT_S = 10.0, 1.5
_FOREVER = "public, max-age=31536000, immutable"

_environment = Environment(
    loader=PackageLoader("api.page"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= words.FILTERS
_environment.globals |= {
    "address": address,
    "statuses": words.STATUSES,
    "reasons": words.REASONS,
    "meanings": words.MEANINGS,
    "bands": BANDS,
    "hour": HOUR,
    "lacking": words.lacking,
    "hours": words.hours,
}


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
                return problem_page(
                    Problem(
                        422,
                        "an id has 1 to 64 letters, digits or characters of . _ : -, and nothing"
                        " else can be looked for",
                    )
                )

        return handled


router = APIRouter(
    route_class=PageRoute, include_in_schema=False, default_response_class=HTMLResponse
)


@router.get("/")
async def fleet(parts: TheParts) -> Response:
    """The fleet at a glance; what takes long is shown once it is there."""
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
    return _page(
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
    q: Annotated[str, Query(pattern=f"^({DEVICE_ID})?$", max_length=64)] = "",
    after: Annotated[str, Query(pattern=f"^({DEVICE_ID})?$", max_length=64)] = "",
) -> Response:
    """The vehicles whose id begins so; the one of exactly that id, where there is one."""
    asking = {"prefix": q, "after": after, "limit": MOST_LISTED + 1}
    async with parts.database.read() as connection:
        cursor = await connection.execute(statement("page_vehicles"), asking)
        rows = await cursor.fetchall()
    if q and not after and rows and rows[0]["vehicle_id"] == q:
        return RedirectResponse(f"/vehicles/{quote(q)}", status_code=303)
    shown = rows[:MOST_LISTED]
    following = shown[-1]["vehicle_id"] if len(rows) > MOST_LISTED else None
    return _page("vehicles", rows=shown, q=q, following=following, now=datetime.now(UTC))


@router.get("/vehicles/{vehicle_id}")
async def vehicle(
    parts: TheParts,
    vehicle_id: Annotated[str, Path(pattern=f"^{DEVICE_ID}$", max_length=64)],
    day: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """A vehicle's last 24 hours, or a UTC day of it."""
    asked = asked_day(day, datetime.now(UTC))
    known = await vehicle_day(parts, vehicle_id, asked)
    return _page(
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
    """A file of this package; under its newest address for as long as a browser likes."""
    asset = assets().get(name)
    if asset is None:
        raise Problem(404, "there is no such file")
    if v == asset.version:
        return asset.answer(request, kept=_FOREVER)
    return asset.answer(request)


def _docs(app: FastAPI) -> Rendered:
    document = app.openapi()
    text = _text("reference", document=document, tags=operations(document))
    return Rendered(text.encode(), "text/html; charset=utf-8")


def _page(name: str, **values: object) -> HTMLResponse:
    return HTMLResponse(_text(name, **values), headers={"Cache-Control": "no-store"})


def _text(name: str, **values: object) -> str:
    return _environment.get_template(f"{name}.html").render(**values)


def problem_page(problem: Problem) -> HTMLResponse:
    """Return the page that says what went wrong, with the status and headers of the problem."""
    page = _page("problem", title=HTTPStatus(problem.status).phrase, problem=problem)
    page.status_code = problem.status
    page.headers.update(problem.headers)
    return page
