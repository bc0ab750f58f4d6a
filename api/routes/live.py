"""`GET /v1/live`: new current states as server-sent events."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, format_sse_event

from api.live.event import Event
from api.live.listener import Ended, Listener, TooSlow
from api.middleware.caller import caller_of
from api.models.bodies import DeviceId
from api.models.readings import VehicleState
from api.openapi import example_of
from api.parts import TheParts
from api.problems import Problem, describe_problems
from telemetry.timestamps import as_instant

router = APIRouter(prefix="/v1", tags=["state"])

_KEEP_ALIVE_S = 15.0
_MOST_DEVICES = 100
Names = Annotated[list[DeviceId] | None, Query(max_length=_MOST_DEVICES)]


def _sent(event: Event) -> bytes:
    return format_sse_event(
        event=event.kind, id=str(event.id), data_str=event.state.model_dump_json(by_alias=True)
    )


def _example() -> str:
    """Return the event of the example of a vehicle's state, stored a second after it was taken."""
    state = VehicleState.model_validate(
        example_of(VehicleState.model_json_schema(mode="serialization"), {})
    )
    stored_at = state.timestamp + timedelta(seconds=1)
    stored = state.model_copy(update={"updated_at": stored_at})
    event = Event(as_instant(stored_at), "vehicle", state.vehicle_id, stored)
    return _sent(event).decode()


_EVENTS: dict[int | str, dict[str, object]] = {
    200: {
        "description": "events `meter` and `vehicle`, whose data are states; `dropped` is the last",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _example()}},
    }
}


# With `response_class=EventSourceResponse` FastAPI would take this function for the generator.
@router.get(
    "/live", response_class=Response, responses=_EVENTS | describe_problems(401, 422, 429, 503)
)
async def live(
    request: Request,
    parts: TheParts,
    vehicle_id: Annotated[Names, Query(alias="vehicleId")] = None,
    meter_id: Annotated[Names, Query(alias="meterId")] = None,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
) -> EventSourceResponse:
    """New current states of the named devices, or of all.

    A browser that reconnects sends `Last-Event-ID`, and first receives what it missed in the last
    15 minutes. A state may come twice. Of a device that sends more often than once a second, only
    the newest state of each second is sent.
    """
    listener = Listener(
        meters=frozenset(meter_id or ()),
        vehicles=frozenset(vehicle_id or ()),
        caller=caller_of(request.scope),
    )
    missed = None
    last_event_id = (last_event_id or "").strip()
    if last_event_id:  # browsers send a blank one after an event without an id
        if not last_event_id.isascii() or not last_event_id.isdigit():
            raise Problem(422, "Last-Event-ID: should be the id of an event", field="Last-Event-ID")
        missed = int(last_event_id)
    parts.live.check_room(listener.caller)

    async def events() -> AsyncIterator[bytes]:
        try:
            async with parts.live.listening(listener):
                yield format_sse_event(comment="listening")
                if missed is not None:
                    async with aclosing(
                        parts.live.missed(missed, listener, parts.database)
                    ) as before:
                        async for event in before:
                            yield _sent(event)
                while True:
                    new = await listener.next(_KEEP_ALIVE_S)
                    yield format_sse_event(comment="nothing new") if new is None else _sent(new)
        except TooSlow:
            yield format_sse_event(event="dropped", data_str="too slow: too many events waited")
        except Ended:
            yield format_sse_event(event="dropped", data_str="the server ends; connect again")
        except Problem as problem:  # the answer has begun already
            yield format_sse_event(event="dropped", data_str=problem.detail)

    return EventSourceResponse(events())
