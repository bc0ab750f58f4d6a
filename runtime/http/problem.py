"""Problem documents (RFC 9457), and what browsers are told with every answer."""

from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none';"
        " form-action 'self'"
    ),
}
"""Sent with every answer, the server's own refusals too."""


def document(status: int, detail: str) -> dict[str, object]:
    """Return the document; `type` is left out (about:blank), since the status says the kind."""
    return {"title": HTTPStatus(status).phrase, "status": int(status), "detail": detail}


def answer(
    status: int, content: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the answer that carries a document."""
    return JSONResponse(content, status_code=status, headers=headers, media_type=MEDIA_TYPE)


async def explain(request: Request, error: Exception) -> JSONResponse:
    """Handle an HTTPException of a small application: an unknown path or method."""
    assert isinstance(error, HTTPException)  # noqa: S101  registered for it
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            detail = "this path does not exist"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = (error.headers or {}).get("Allow", "none")
            detail = f"this path does not have the method {request.method}; it has {allowed}"
        case _:
            detail = error.detail
    status = error.status_code
    return answer(status, document(status, detail), error.headers)
