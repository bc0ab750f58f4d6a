"""Bodies of batches, `{"items": […]}`: each item is read as the body of one would be."""

import asyncio
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from api.ingest.batches import NotABatch, elements
from api.ingest.elements import TooMany
from api.middleware.body_limit import MOST_FORM_BYTES
from api.openapi import example_of
from api.parts import Parts
from api.problems import MOST_FAULTS, FieldFault, Problem
from telemetry.json_text import parse_json

MOST_ITEMS = 5_000

Item = TypeVar("Item", bound=BaseModel)


def describe_items(model: type[BaseModel]) -> dict[str, Any]:
    """Describe a body of such items, which is read from its bytes."""
    item = model.model_json_schema()
    # `maxItems` would promise a 422, and too many items are a 413.
    items = {"type": "array", "items": item, "minItems": 1, "description": f"at most {MOST_ITEMS}"}
    schema = {
        "type": "object",
        "required": ["items"],
        "properties": {"items": items},
        "additionalProperties": False,
    }
    media = {"schema": schema, "example": {"items": [example_of(item, {})]}}
    return {"requestBody": {"required": True, "content": {"application/json": media}}}


async def items_of(request: Request, parts: Parts, model: type[Item]) -> list[Item]:
    """Return the items of the body; raises Problem (413, or 422 that names each fault)."""
    body = await request.body()
    try:
        # On a thread, so that other requests are answered meanwhile.
        async with parts.turns.turn(request):
            return await asyncio.to_thread(_read, body, model)
    except NotABatch as error:
        raise Problem(422, f"{error.field}: {error}", field=error.field) from error
    except TooMany as error:
        parts.metrics.refused.labels("batch").inc()
        raise Problem(413, f"more than {MOST_ITEMS} items in a request") from error


def _read(body: bytes, model: type[Item]) -> list[Item]:
    items: list[Item] = []
    faults: list[FieldFault] = []
    count = 0
    for index, text in enumerate(elements(body, "items")):
        name = f"items[{index}]"
        try:
            items.append(model.model_validate(_parsed(text)))
        except ValidationError as error:
            count += error.error_count()
            # There may be thousands in one item, and only some are shown.
            if len(faults) < MOST_FAULTS:
                faults += [_fault(name, fault) for fault in error.errors(include_url=False)]
        except ValueError as error:
            count += 1
            faults.append(FieldFault(field=name, detail=str(error)))
    if faults:
        shown = faults[:MOST_FAULTS]
        detail = f"{shown[0].field}: {shown[0].detail}"
        raise Problem(422, detail, errors=shown, more_errors=count - len(shown))
    return items


def _parsed(text: bytes) -> object:
    if len(text) > MOST_FORM_BYTES:
        raise ValueError(f"should have at most {MOST_FORM_BYTES} bytes")
    try:
        return parse_json(text.decode())
    except ValueError as error:
        raise ValueError("should be JSON") from error


def _fault(name: str, fault: Any) -> FieldFault:
    return FieldFault(
        field=".".join([name, *map(str, fault["loc"])]),
        detail=fault["msg"].removeprefix("Value error, "),
    )
