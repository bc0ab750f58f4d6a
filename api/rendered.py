"""Answers that never change while this process runs: rendered once, and sent with an ETag."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

_KEPT_BUT_CHECKED = "no-cache"
_NOT_MODIFIED = 304


@dataclass(frozen=True, slots=True)
class Rendered:
    """Bytes with their media type, and a version that is a hash of them."""

    content: bytes
    media_type: str
    version: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "version", sha256(self.content).hexdigest()[:12])

    def answer(self, request: Request, *, kept: str = _KEPT_BUT_CHECKED) -> Response:
        """Return the answer, or 304 for a client that has this version; `kept` is Cache-Control."""
        tag = f'"{self.version}"'
        headers = {"Cache-Control": kept, "ETag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=_NOT_MODIFIED, headers=headers)
        return Response(self.content, media_type=self.media_type, headers=headers)


def rendered_once(request: Request, render: Callable[[FastAPI], Rendered]) -> Rendered:
    """Return what `render` makes of the application, made with the first request for it."""
    made: dict[object, Rendered] = request.app.state.rendered
    if render not in made:
        made[render] = render(request.app)
    return made[render]
