"""Whether this process lives, and whether the servers behind it answer."""

import asyncio
from collections.abc import Awaitable
from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.responses import JSONResponse

from api.parts import TheParts
from api.problems import Problem
from api.producer import Unacknowledged

router = APIRouter(tags=["running"])


class Checks(BaseModel):
    """Which of the servers answer."""

    database: bool
    kafka: bool


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
async def ready(parts: TheParts) -> JSONResponse:
    """200 while both servers answer; else 503, with each of them told apart."""
    database, kafka = await asyncio.gather(
        _answers(parts.database.ping()), _answers(parts.gateway.ping())
    )
    checks = {"database": database, "kafka": kafka}
    is_ready = all(checks.values())
    return JSONResponse(
        {"status": "ready" if is_ready else "not ready", "checks": checks},
        status_code=200 if is_ready else 503,
    )


@router.get("/metrics", include_in_schema=False)
async def metrics(parts: TheParts) -> Response:
    """Prometheus' format."""
    return Response(generate_latest(parts.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/openapi.json", include_in_schema=False)
async def description(request: Request) -> JSONResponse:
    """The description of all this, for machines."""
    return JSONResponse(request.app.openapi())


async def _answers(ping: Awaitable[None]) -> bool:
    try:
        await ping
    except (Problem, Unacknowledged):
        return False
    return True
