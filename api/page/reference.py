"""The description of the API for people, made of its OpenAPI document. Pure.

No viewer of other people's: those need inline styles, which the pages' content security policy
forbids, and a megabyte of script for what is a list.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

Schema = Mapping[str, Any]

_DEEPEST = 8
_PLAIN: dict[str, object] = {
    "string": "…",
    "number": 1.5,
    "integer": 1,
    "boolean": True,
    "null": None,
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of a path or a query."""

    name: str
    place: str
    kind: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, and an example of its body where it has a form of its own."""

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
    """Return all operations by their tag, in the document's order."""
    by_tag: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            operation = _operation(document, method, path, described)
            by_tag.setdefault(next(iter(described.get("tags", ["more"]))), []).append(operation)
    return by_tag


def example(document: Schema, schema: Schema, depth: int = 0) -> object:
    """Return a value of a schema: its own example where it has one."""
    schema = _resolved(document, schema)
    for known in ("example", "default", "const"):
        if schema.get(known) is not None:
            return schema[known]
    for several in ("examples", "enum"):
        if schema.get(several):
            return schema[several][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return example(document, schema[choice][0], depth)
    if depth < _DEEPEST and schema.get("type") == "object" and "properties" in schema:
        properties = schema["properties"].items()
        return {name: example(document, inner, depth + 1) for name, inner in properties}
    if schema.get("type") == "array":
        return [example(document, schema.get("items", {}), depth + 1)] if depth < _DEEPEST else []
    return _PLAIN.get(schema.get("type", ""), {})


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
    body = None if content is None else _body(document, content)
    return Operation(
        anchor=described["operationId"],
        method=method.upper(),
        path=path,
        description=described.get("description", described.get("summary", "")),
        parameters=parameters,
        call=_call(document, method, path, described, body),
        answers=[_answer(document, *one) for one in described["responses"].items()],
    )


def _body(document: Schema, content: Schema) -> str:
    given = content.get("example", next(iter(content.get("examples", {}).values()), None))
    if isinstance(given, Mapping) and "value" in given:
        given = given["value"]
    return json.dumps(example(document, content["schema"]) if given is None else given)


def _call(document: Schema, method: str, path: str, described: Schema, body: str | None) -> str:
    """Return the operation as curl would ask it."""
    for one in described.get("parameters", ()):
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", _in_path(document, one))
    lines = [f'curl -H "Authorization: Bearer $KEY" "$WATTLINE{path}"']
    if method != "get":
        lines[0] = lines[0].replace("curl", f"curl -X {method.upper()}")
    if body is not None:
        lines.append("  -H 'Content-Type: application/json'")
        lines.append(f"  -d '{body}'")
    return " \\\n".join(lines)


def _in_path(document: Schema, parameter: Schema) -> str:
    name = parameter["name"]
    schema = _resolved(document, parameter["schema"])
    if schema.get("type") == "integer":
        return "17"
    return "mtr-00042" if name.startswith("meter") else "veh-00042"


def _answer(document: Schema, status: str, described: Schema) -> Answer:
    content = described.get("content", {}).get("application/json")
    # Problem documents are all of one form, which is shown once.
    shown = None if not content else example(document, content.get("schema", {}))
    text = json.dumps(shown, indent=2, ensure_ascii=False) if shown else None
    description = described.get("description", "")
    # What FastAPI says of every success; the status has a word of its own.
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
