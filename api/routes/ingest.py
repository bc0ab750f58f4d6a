"""Readings in: judged, sent to Kafka, and answered once the broker has acknowledged them."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from api.ingest.batches import MOST_READINGS, NotABatch
from api.ingest.elements import TooMany
from api.ingest.envelopes import Sorted, read_batch, read_either, read_mixed, read_one
from api.ingest.gateway import Unacknowledged
from api.middleware.caller import admitted
from api.models.readings import Accepted, SentMeterReading, SentVehicleReading
from api.openapi import example_of
from api.parts import Parts, TheParts
from api.problems import FOREIGN_DEVICE, Problem, describe_problems, unavailable
from telemetry.decode import TimeLimits
from telemetry.readings import MeterReading, VehicleReading
from telemetry.streams import METER, VEHICLE

router = APIRouter(prefix="/v1/telemetry", tags=["ingest"])

# Judging a body of this many bytes takes at most some 30 ms.
_MOST_INLINE = 8 << 10
# The schemas are the contract's, the examples are those of the bodies that are sent.
_READINGS = {
    "meter": example_of(SentMeterReading.model_json_schema(mode="serialization"), {}),
    "vehicle": example_of(SentVehicleReading.model_json_schema(mode="serialization"), {}),
}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "meter": MeterReading.model_json_schema(),
    "vehicle": VehicleReading.model_json_schema(),
}
_ENVELOPE = {
    "type": "object",
    "required": ["streamType", "payload"],
    "properties": {
        "streamType": {"enum": ["meter", "vehicle"]},
        "payload": {"anyOf": list(_SCHEMAS.values())},
    },
}
_EITHER = {"anyOf": [*_SCHEMAS.values(), _ENVELOPE]}


def _body(schema: dict[str, Any], example: object) -> dict[str, Any]:
    """Describe a body that is read from its bytes."""
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def _list(name: str, item: dict[str, Any]) -> dict[str, Any]:
    # `maxItems` would promise a 422, and too many readings are a 413.
    limit = f"at most {MOST_READINGS}"
    items = {"type": "array", "items": item, "minItems": 1, "description": limit}
    return {"type": "object", "required": [name], "properties": {name: items}}


_ANSWERS: dict[str, Any] = {
    "status_code": 202,
    "response_model": Accepted,
    "responses": describe_problems(401, 413, 422, 429, 503),
}


@router.post("/meter", **_ANSWERS, openapi_extra=_body(_SCHEMAS["meter"], _READINGS["meter"]))
async def ingest_meter(request: Request, parts: TheParts) -> Response:
    """Take one reading of a meter."""
    return await _ingest(request, parts, partial(read_one, stream=METER))


@router.post("/vehicle", **_ANSWERS, openapi_extra=_body(_SCHEMAS["vehicle"], _READINGS["vehicle"]))
async def ingest_vehicle(request: Request, parts: TheParts) -> Response:
    """Take one reading of a vehicle."""
    return await _ingest(request, parts, partial(read_one, stream=VEHICLE))


@router.post(
    "/meter/batch",
    **_ANSWERS,
    openapi_extra=_body(_list("data", _SCHEMAS["meter"]), {"data": [_READINGS["meter"]]}),
)
async def ingest_meters(request: Request, parts: TheParts) -> Response:
    """Take up to 5,000 readings of meters."""
    return await _ingest(request, parts, partial(read_batch, stream=METER))


@router.post(
    "/vehicle/batch",
    **_ANSWERS,
    openapi_extra=_body(_list("data", _SCHEMAS["vehicle"]), {"data": [_READINGS["vehicle"]]}),
)
async def ingest_vehicles(request: Request, parts: TheParts) -> Response:
    """Take up to 5,000 readings of vehicles."""
    return await _ingest(request, parts, partial(read_batch, stream=VEHICLE))


@router.post(
    "/ingest",
    **_ANSWERS,
    openapi_extra=_body(_EITHER, {"streamType": "meter", "payload": _READINGS["meter"]}),
)
async def ingest_either(request: Request, parts: TheParts) -> Response:
    """Take one reading of either kind, told apart by its fields or named by an envelope."""
    return await _ingest(request, parts, read_either)


@router.post(
    "/ingest/batch",
    **_ANSWERS,
    openapi_extra=_body(_list("records", _EITHER), {"records": list(_READINGS.values())}),
)
async def ingest_mixed(request: Request, parts: TheParts) -> Response:
    """Take up to 5,000 readings of both kinds, in either form."""
    return await _ingest(request, parts, read_mixed)


PATHS = frozenset(route.path for route in router.routes if isinstance(route, APIRoute))
"""The paths that take readings, whose bodies may be large."""


async def _ingest(request: Request, parts: Parts, read: Callable[..., Sorted]) -> Response:
    body = await request.body()
    client = admitted(request.scope)
    prefixes = () if client is None else client.prefixes
    limits = TimeLimits.at(time.time_ns() // 1_000, retention_days=parts.retention_days)
    try:
        if len(body) <= _MOST_INLINE:
            found = read(body, limits=limits, prefixes=prefixes)
        else:
            # On a thread, so that other requests are answered meanwhile.
            async with parts.turns.turn(request):
                found = await asyncio.to_thread(read, body, limits=limits, prefixes=prefixes)
    except NotABatch as error:
        raise Problem(422, f"{error.field}: {error}", field=error.field) from error
    except TooMany as error:
        parts.metrics.refused.labels("batch").inc()
        raise Problem(413, f"more than {MOST_READINGS} readings in a request") from error
    counted = parts.metrics.gateway_readings
    counted.labels("rejected").inc(len(found.refused))
    # In the form of `Rejection`, without making the models: there may be thousands.
    rejections = [
        {"index": one.index, "reason": reason, "field": field, "detail": detail}
        for one in found.refused
        for reason, detail, field in [one.rejected]
    ]
    if not found.messages:
        first = found.refused[0].rejected
        is_foreign = found.are_all_foreign
        raise Problem(
            403 if is_foreign else 422,
            "no reading was acceptable" if len(rejections) > 1 else first.detail,
            field=first.field if len(rejections) == 1 else None,
            kind=FOREIGN_DEVICE if is_foreign else None,
            accepted=0,
            rejected=rejections,
        )
    try:
        await parts.gateway.send(found.messages)
    except Unacknowledged as error:
        counted.labels("unacknowledged").inc(len(found.messages))
        raise unavailable("Kafka") from error
    counted.labels("accepted").inc(len(found.messages))
    return JSONResponse({"accepted": len(found.messages), "rejected": rejections}, 202)
