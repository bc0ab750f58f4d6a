"""Whether this process lives, and whether the servers behind it answer."""

import json
from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI, Query, Request, Response
from pydantic import BaseModel
from starlette.responses import JSONResponse

from api.parts import TheParts
from api.readiness import Purpose
from api.rendered import Rendered, rendered_once

router = APIRouter(tags=["running"])


class Checks(BaseModel):
    """Which of the servers answer; of those that were not asked about there is nothing."""

    database: bool | None = None
    kafka: bool | None = None


class Readiness(BaseModel):
    """Whether all is there that is needed."""

    status: Literal["ready", "not ready"]
    checks: Checks


@router.get("/health/live")
async def live() -> dict[str, str]:
    """200 as long as requests are answered at all."""
    return {"status": "live"}


@router.get("/health", include_in_schema=False)
@router.get(
    "/health/ready",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "one of the servers does not answer"}},
)
async def ready(
    parts: TheParts,
    purpose: Annotated[
        Purpose | None,
        Query(
            alias="for",
            description="`ingest`: whether readings can be taken, which takes Kafka; `answers`:"
            " whether there are answers, which takes PostgreSQL; by default both",
        ),
    ] = None,
) -> JSONResponse:
    """200 while both servers answer, or the one that is asked for; else 503, each told apart.

    They are looked at once a second: this is what the last look found.
    """
    checks = await parts.readiness.checks(purpose)
    is_ready = all(checks.values())
    return JSONResponse(
        {"status": "ready" if is_ready else "not ready", "checks": checks},
        status_code=200 if is_ready else 503,
    )


@router.get("/openapi.json", include_in_schema=False)
async def description(request: Request) -> Response:
    """The description of all this, for machines."""
    return rendered_once(request, _description).answer(request)


def _description(app: FastAPI) -> Rendered:
    text = json.dumps(app.openapi(), ensure_ascii=False, separators=(",", ":"))
    return Rendered(text.encode(), "application/json")
