"""Bodies of devices, assignments and sessions, read as strictly as readings are."""

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
    """Takes RFC 8259 strictly: UTF-8 without a byte-order mark, of bounded depth, without NaN."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            strict = _JsonRequest(request.scope, request.receive)
            if has_body(strict.headers):
                # Read it here: the framework makes a 400 of any error while it reads.
                await strict.body()
            return await handle(strict)

        return handled


class _JsonRequest(Request):
    async def json(self) -> object:
        body = await self.body()
        try:
            return parse_json(body.decode())
        except ValueError as error:
            is_explained = not isinstance(error, JSONDecodeError | UnicodeDecodeError)
            detail = name_foreign(body) or (str(error) if is_explained else "should be JSON")
            raise Problem(422, f"body: {detail}", field="body") from error
