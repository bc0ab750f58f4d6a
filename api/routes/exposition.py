"""What this process counts, for Prometheus."""

from fastapi import APIRouter, Request, Response

from api.parts import TheParts

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def metrics(parts: TheParts, request: Request) -> Response:
    """Prometheus' format."""
    return await parts.exposition.answer(request)
