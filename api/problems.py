"""Problems: every answer that is not a success is a problem document (RFC 9457).

The status says what kind of problem it is, `detail` what is wrong here, and `errors` names the
fields at fault.
"""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from runtime.http.problem import MEDIA_TYPE, answer, document

MOST_FAULTS = 20
"""Faults that one document lists; `moreErrors` counts the others."""
OTHER_NAMES = "other_names"
"""The key in a request's scope of the query parameters that were given by another name."""
WRONG_SCOPE = "urn:wattline:problem:wrong-scope"
FOREIGN_DEVICE = "urn:wattline:problem:foreign-device"
"""`type` of the problems whose status does not say enough: what the client may not do."""
_METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
# The client's own text is repeated to it: cut short, and without control characters.
_LONGEST_NAME, _LONGEST_DETAIL = 64, 500


class FieldFault(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="its name in the query or body", examples=["end"])
    detail: str = Field(examples=["should be later than start"])


class Problem(HTTPException):
    """An answer other than success, raised by routes and turned into a document here.

    `more_errors` counts faults that are not in `errors`. `kind` is its `type`, if the status does
    not say enough.

    It is an HTTPException because FastAPI passes no other exception on while it reads a body.
    """

    headers: dict[str, str]

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        field: str | None = None,
        errors: Sequence[FieldFault] = (),
        more_errors: int = 0,
        headers: Mapping[str, str] | None = None,
        kind: str | None = None,
        **more: object,
    ) -> None:
        super().__init__(status, _plain(detail, _LONGEST_DETAIL), dict(headers or {}))
        self.status = status
        faults = errors or ([FieldFault(field=field, detail=detail)] if field else [])
        self.errors = [
            FieldFault(
                field=_plain(fault.field, _LONGEST_NAME),
                detail=_plain(fault.detail, _LONGEST_DETAIL),
            )
            for fault in faults[:MOST_FAULTS]
        ]
        self.more_errors = len(faults) - len(self.errors) + more_errors
        self.more = more if kind is None else {"type": kind, **more}

    def rename(self, names: Mapping[str, str]) -> None:
        """Name parameters as the client did; `names` maps their main names to those."""
        for main, given in names.items():
            prefix = f"{main}: "
            if self.detail.startswith(prefix):
                self.detail = f"{given}: {self.detail.removeprefix(prefix)}"
            for fault in self.errors:
                if fault.field == main:
                    fault.field, fault.detail = given, fault.detail.replace(prefix, f"{given}: ", 1)

    def response(self) -> JSONResponse:
        content = document(self.status, self.detail)
        if self.errors:
            content["errors"] = [fault.model_dump() for fault in self.errors]
        if self.more_errors:
            content["moreErrors"] = self.more_errors
        return answer(self.status, content | self.more, self.headers)


class ProblemDocument(BaseModel):
    """The document that is sent for a problem."""

    type: str | None = Field(
        None,
        description=f"{WRONG_SCOPE} or {FOREIGN_DEVICE}; else the status says what kind it is",
        examples=[None],
    )
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["should be later than start"])
    errors: list[FieldFault] | None = Field(None, max_length=MOST_FAULTS)
    more_errors: int | None = Field(
        None,
        alias="moreErrors",
        description="how many more faults there are than `errors` lists",
        examples=[None],
    )


def unavailable(what: str, *, after_s: int = 1) -> Problem:
    """Return the problem (503) of a server behind this one that cannot be reached."""
    return Problem(503, f"{what} cannot be reached", headers={"Retry-After": str(after_s)})


def busy(what: str, *, after_s: int = 2) -> Problem:
    """Return the problem (503) of a PostgreSQL that has other requests to answer first."""
    return Problem(
        503, f"the database is busy{what}; ask again", headers={"Retry-After": str(after_s)}
    )


def explain_problems(app: FastAPI, *, as_page: Callable[[Problem], Response]) -> None:
    """Have every refusal answered with a problem document; `AccessLog` does so for failures.

    `as_page` makes the answer for a browser that asks for a page that does not exist.
    """

    async def explain_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  registered for it
        problem = _http_problem(request, error)
        return as_page(problem) if _is_for_a_page(request, problem) else problem.response()

    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, explain_http)
    app.add_exception_handler(RequestValidationError, _invalid)


def describe_problems(*statuses: int) -> dict[int | str, dict[str, object]]:
    """Return OpenAPI's description of these answers of a route."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
        }
        for status in statuses
    }


async def _problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)  # noqa: S101  registered for it
    error.rename(request.scope.get(OTHER_NAMES, {}))
    return error.response()


def _http_problem(request: Request, error: HTTPException) -> Problem:
    """Return the problem for a request that the framework refuses."""
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            path = request.url.path
            detail = "this path does not exist"
            if path.endswith("/"):
                detail += ": it has a slash at its end, or an id that is empty"
            return Problem(404, detail)
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = _allowed(request)
            detail = f"this path does not have the method {request.method}; it has {allowed}"
            return Problem(405, detail, headers={"Allow": allowed})
    return Problem(error.status_code, str(error.detail), headers=error.headers)


def _is_for_a_page(request: Request, problem: Problem) -> bool:
    """Return whether a browser asked for a page at a path that does not exist."""
    is_of_the_api = request.url.path.startswith("/v1/")
    wants_html = "text/html" in request.headers.get("accept", "")
    return problem.status == HTTPStatus.NOT_FOUND and wants_html and not is_of_the_api


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for it
    faults = [
        FieldFault(
            # The first word says where the field was looked for; the others are its name.
            field=".".join(map(str, fault["loc"][1:])) or str(fault["loc"][0]),
            detail=fault["msg"].removeprefix("Value error, "),
        )
        for fault in error.errors()
    ]
    detail = f"{faults[0].field}: {faults[0].detail}"
    return Problem(422, detail, errors=faults).response()


def _plain(text: str, longest: int) -> str:
    """Return the text as one line of printable characters, cut after the longest length."""
    cut = text if len(text) <= longest else f"{text[:longest]}\N{HORIZONTAL ELLIPSIS}"
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in cut)


def _allowed(request: Request) -> str:
    """Return the methods of all routes of a path; the framework names only those of the first."""
    scope = {name: value for name, value in request.scope.items() if name != "fastapi"}
    methods = [
        method
        for method in _METHODS
        if any(
            route.matches(scope | {"method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]
    return ", ".join(["HEAD", *methods] if "GET" in methods else methods)
