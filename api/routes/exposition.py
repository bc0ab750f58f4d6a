"""The metrics of this process, for Prometheus."""

from fastapi import APIRouter, Request, Response

from api.parts import TheParts

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def metrics(parts: TheParts, request: Request) -> Response:
    """The metrics in Prometheus' text format."""
    return await parts.exposition.answer(request)
