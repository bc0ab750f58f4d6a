"""The description of the API for people, made of its OpenAPI document, examples and all. Pure.

The usual viewers need inline styles, which the pages' content security policy forbids, and a
megabyte of script for a list.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic.alias_generators import to_camel

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a path, a query or a header."""

    name: str
    place: str
    kind: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and an example of its body; problems have no example."""

    status: str
    description: str
    example: str | None


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path."""

    anchor: str
    method: str
    path: str
    description: str
    parameters: list[Parameter]
    call: str
    answers: list[Answer]


def operations(document: Schema) -> dict[str, list[Operation]]:
    """Return all operations by their tags, in the document's order."""
    by_tag: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            operation = _operation(document, method, path, described)
            by_tag.setdefault(next(iter(described.get("tags", ["more"]))), []).append(operation)
    return by_tag


def _operation(document: Schema, method: str, path: str, described: Schema) -> Operation:
    parameters = [
        Parameter(
            one["name"],
            one["in"],
            _kind(document, one["schema"]),
            one.get("required", False),
            one.get("description", ""),
        )
        for one in described.get("parameters", ())
    ]
    content = described.get("requestBody", {}).get("content", {}).get("application/json")
    body = None if content is None else json.dumps(content["example"])
    return Operation(
        anchor=described["operationId"],
        method=method.upper(),
        path=path,
        description=described.get("description", described.get("summary", "")),
        parameters=parameters,
        call=_call(document, method, path, described, body),
        answers=[_answer(*one) for one in described["responses"].items()],
    )


def _call(document: Schema, method: str, path: str, described: Schema, body: str | None) -> str:
    """Return the command that calls the operation with curl."""
    for one in described.get("parameters", ()):
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", str(_of_field(document, one["name"])))
    lines = [f'curl -H "Authorization: Bearer $KEY" "$WATTLINE{path}"']
    if method != "get":
        lines[0] = lines[0].replace("curl", f"curl -X {method.upper()}")
    if body is not None:
        lines.append("  -H 'Content-Type: application/json'")
        lines.append(f"  -d '{body}'")
    return " \\\n".join(lines)


def _of_field(document: Schema, name: str) -> object:
    """Return the example of the first field of any body that has a path parameter's name."""
    schemas = document["components"]["schemas"].values()
    fields = [one["properties"] for one in schemas if "properties" in one]
    return next(one[to_camel(name)]["examples"][0] for one in fields if to_camel(name) in one)


def _answer(status: str, described: Schema) -> Answer:
    # Problem documents have another media type: they are all of one form.
    shown = described.get("content", {}).get("application/json", {}).get("example")
    text = json.dumps(shown, indent=2, ensure_ascii=False) if shown else None
    description = described.get("description", "")
    # FastAPI says this of every success; the status' own phrase says more.
    if description == "Successful Response":
        description = HTTPStatus(int(status)).phrase
    return Answer(status, description, text)


def _kind(document: Schema, schema: Schema) -> str:
    kinds = dict.fromkeys(
        " of ".join(
            [one.get("type", "any"), *([one["items"].get("type", "any")] if "items" in one else [])]
        )
        for one in _choices(document, schema)
        if one.get("type") != "null"
    )
    default = schema.get("default")
    bounds = []
    if "minimum" in schema and "maximum" in schema:
        bounds = [f"{schema['minimum']:,} to {schema['maximum']:,}"]
    said = [" or ".join(kinds), *bounds]
    return ", ".join(said if default is None else [*said, f"by default {default}"])


def _choices(document: Schema, schema: Schema) -> Iterator[Schema]:
    schema = _resolved(document, schema)
    if "anyOf" not in schema:
        yield schema
    for one in schema.get("anyOf", ()):
        yield from _choices(document, one)


def _resolved(document: Schema, schema: Schema) -> Schema:
    while "$ref" in schema:
        part: Any = document
        for name in schema["$ref"].removeprefix("#/").split("/"):
            part = part[name]
        schema = part
    return schema
