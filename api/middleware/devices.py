"""Devices: a client with prefixes may ask only about its own."""

from fastapi import Request

from api.middleware.caller import admitted
from api.problems import FOREIGN_DEVICE, Problem

_READING = {"GET", "HEAD"}
_IN_PATHS = ("meter_id", "vehicle_id")
_IN_QUERIES = ("meterId", "vehicleId")


async def check_devices(request: Request) -> None:
    """Raise Problem (403) if the client has prefixes, and the question names other devices or none.

    Readings that are sent are judged one by one instead. Everything else needs the scope `admin`,
    which a client with prefixes cannot have.

    It runs before every route. It is async, since FastAPI would run it on a thread otherwise.
    """
    client = admitted(request.scope)
    if client is None or request.method not in _READING:
        return
    named = [request.path_params[name] for name in _IN_PATHS if name in request.path_params]
    for name in _IN_QUERIES:
        named += request.query_params.getlist(name)
    if not client.may_name(named):
        asked = "others" if named else "all"
        detail = f"client {client.name} may ask about some devices only, and this is about {asked}"
        raise Problem(403, detail, kind=FOREIGN_DEVICE)
