"""Whether this process lives, and whether the servers behind it answer."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import JSONResponse

from api.parts import TheParts
from api.readiness import Purpose

router = APIRouter(tags=["running"])


class Checks(BaseModel):
    """The servers, and whether each answers; one that was not asked about is left out."""

    database: bool | None = None
    kafka: bool | None = None


class Readiness(BaseModel):
    """The verdict on the servers that are needed, and the check of each.

    `waits_for` is there while code and schema do not fit each other, and says what to do.
    """

    status: Literal["ready", "not ready"]
    checks: Checks
    waits_for: str | None = None


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
            description="`ingest`: whether readings can be taken, which needs Kafka; `answers`:"
            " whether questions can be answered, which needs PostgreSQL; by default both",
        ),
    ] = None,
) -> JSONResponse:
    """200 if both servers answer, or the one that `for` needs; otherwise 503.

    `checks` names each server. They are checked once a second; this is the last result.
    """
    checks = await parts.readiness.checks(purpose)
    is_ready = all(checks.values())
    waiting = None if is_ready else parts.readiness.waits_for
    told = {} if waiting is None else {"waits_for": waiting}
    return JSONResponse(
        {"status": "ready" if is_ready else "not ready", "checks": checks, **told},
        status_code=200 if is_ready else 503,
    )
