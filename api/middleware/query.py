"""Query parameters: an unknown one is refused, and so is a second value.

To ignore one would change the answer silently: a filter with a typing error shows everything.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import MOST_FAULTS, OTHER_NAMES, FieldFault, Problem

# Enough for a hundred devices of either kind and a few more. Thousands take the loop tens of
# milliseconds to parse, on open paths too.
MOST_PARAMETERS = 250
# Names may have any length, and finding the nearest known one takes longer for a long name.
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter: its names, the main one first, and whether it may be repeated."""

    names: tuple[str, ...]
    is_list: bool


class QueryLimit:
    """Answers 422 to more query parameters than any path takes, before FastAPI parses them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["query_string"].count(b"&") >= MOST_PARAMETERS:
            problem = Problem(422, f"at most {MOST_PARAMETERS} query parameters in a request")
            await problem.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


async def check_query(request: Request) -> None:
    """Raise Problem (422) for parameters that the route does not know, or that are given twice.

    Note by which of its names a parameter was given, for the problems that the route finds.

    It runs before every route. It is async, since FastAPI would run it on a thread otherwise.
    """
    if not request.scope["query_string"]:
        return
    known = list(_parameters(request.scope["route"].dependant))
    given = Counter(name for name, _ in request.query_params.multi_items())
    faults = [*_unknown(given, known), *_repeated(given, known)]
    if faults:
        detail = f"query parameter {faults[0].field}: {faults[0].detail}"
        raise Problem(422, detail, errors=faults)
    request.scope[OTHER_NAMES] = {
        main: name
        for main, *others in (one.names for one in known)
        for name in others
        if name in given
    }


def _unknown(given: Counter[str], known: list[Parameter]) -> Iterator[FieldFault]:
    names = [name for parameter in known for name in parameter.names]
    every = ", ".join(parameter.names[0] for parameter in known)
    for number, name in enumerate(name for name in given if name not in names):
        short = name[:_LONGEST_NAME]
        nearest = _nearest(short, names) if number < MOST_FAULTS else None
        detail = "this path takes no query parameters"
        if nearest is not None:
            detail = f"is not known here; the nearest known name is {nearest}"
        elif names:
            detail = f"is not known here; this path takes {every}"
        yield FieldFault(field=short, detail=detail)


def _nearest(name: str, names: list[str]) -> str | None:
    """Return the known name that was probably meant; None if none is close."""
    # So that vehicle_id, vehicleid and VehicleId all count as equal to vehicleId.
    plain = {_plain(known): known for known in reversed(names)}
    found = get_close_matches(_plain(name), plain, n=1)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _repeated(given: Counter[str], known: list[Parameter]) -> Iterator[FieldFault]:
    for parameter in known:
        names = [name for name in parameter.names if name in given]
        if len(names) > 1:
            detail = f"is another name of {names[0]}, which is given too"
            yield FieldFault(field=names[1], detail=detail)
        elif names and given[names[0]] > 1 and not parameter.is_list:
            yield FieldFault(field=names[0], detail="is given more than once")


def _parameters(dependant: Dependant) -> Iterator[Parameter]:
    for field in dependant.query_params:
        names = field.field_info.validation_alias
        yield Parameter(
            names=tuple(map(str, names.choices))
            if isinstance(names, AliasChoices)
            else (field.alias,),
            is_list=_is_list(field.field_info),
        )
    for inner in dependant.dependencies:
        yield from _parameters(inner)


def _is_list(field: FieldInfo) -> bool:
    annotation = field.annotation
    return list in {get_origin(kind) for kind in (annotation, *get_args(annotation))}
