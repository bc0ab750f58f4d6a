"""Bodies of devices, assignments and sessions: read as strictly as readings are."""

from collections.abc import Callable, Coroutine
from json import JSONDecodeError
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.middleware.body_limit import has_body
from api.problems import Problem
from telemetry.foreign_bytes import name_foreign
from telemetry.json_text import parse_json


class JsonRoute(APIRoute):
    """Takes JSON by the letter: UTF-8 without a mark, of bounded depth, without NaN."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            asked = _JsonRequest(request.scope, request.receive)
            if has_body(asked.headers):
                # Here, for the framework makes a 400 of whatever is raised meanwhile.
                await asked.body()
            return await handle(asked)

        return handled


class _JsonRequest(Request):
    async def json(self) -> object:
        body = await self.body()
        try:
            return parse_json(body.decode())
        except ValueError as error:
            is_text = not isinstance(error, JSONDecodeError | UnicodeDecodeError)
            detail = name_foreign(body) or (str(error) if is_text else "should be JSON")
            raise Problem(422, f"body: {detail}", field="body") from error
