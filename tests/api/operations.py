"""Every method of every path, also those that OpenAPI leaves out."""

from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

_VALUES = {"meter_id": "m", "vehicle_id": "v", "name": "icon.svg"}


def operations(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Return the method and an address of each route."""
    for context in iter_route_contexts(app.routes):
        # Nothing stands outside of what is checked before every route.
        assert isinstance(context.original_route, APIRoute), context.path
        path = context.path or ""
        for name in context.param_convertors:
            path = path.replace(f"{{{name}}}", _VALUES.get(name, "1"))
        for method in context.methods or ():
            yield method, path
