"""`/openapi.json`: the description of the API for programs."""

import json

from fastapi import APIRouter, FastAPI, Request, Response

from api.rendered import Rendered, rendered_once

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def description(request: Request) -> Response:
    """The OpenAPI document."""
    return rendered_once(request, _description).answer(request)


def _description(app: FastAPI) -> Rendered:
    text = json.dumps(app.openapi(), ensure_ascii=False, separators=(",", ":"))
    return Rendered(text.encode(), "application/json")
