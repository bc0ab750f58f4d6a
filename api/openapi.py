"""The OpenAPI document, with what FastAPI does not know: problems, scopes, examples. Pure."""

from typing import Any

from api.identity.client import scope_needed
from api.problems import ProblemDocument, describe_problems
from api.times import AS_OF
from runtime.http.problem import MEDIA_TYPE

Document = dict[str, Any]

_AS_OF = {
    "description": "of which time the answer is; only if the server asks a replica of its database",
    "schema": {"type": "string", "format": "date-time"},
}
_REFERENCE = "#/components/schemas/"
_DEEPEST = 8
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key"},
    "basic": {"type": "http", "scheme": "basic", "description": "any user, an API key as password"},
    "certificate": {"type": "mutualTLS", "description": "a client's certificate, if the API asks"},
}
_BY_TYPE = {"integer": 1, "number": 1.0, "string": "text", "boolean": True, "null": None}


def complete(document: Document) -> Document:
    """Complete the document in place and return it."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = ProblemDocument.model_json_schema(ref_template=_REFERENCE + "{model}")
    schemas |= problem.pop("$defs") | {"ProblemDocument": problem}
    components["securitySchemes"] = _SCHEMES
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            # The answers of the middleware, which stands before every route.
            refusals = (403, 413, 415, 422) if "requestBody" in operation else (403, 422)
            operation["responses"] |= {
                str(status): answer for status, answer in describe_problems(*refusals).items()
            }
            if path.startswith("/v1/"):
                needed = [scope_needed(method.upper(), path)]
                # The last one, none: a server on loopback may run without keys.
                operation["security"] = [*({name: needed} for name in _SCHEMES), {}]
                if "200" in operation["responses"]:
                    operation["responses"]["200"].setdefault("headers", {})[AS_OF] = _AS_OF
            for content in _contents(operation):
                for kind, media in content.items():
                    if kind != MEDIA_TYPE and "example" not in media and "schema" in media:
                        media["example"] = example_of(media["schema"], schemas)
    return document


def _contents(operation: Document) -> list[Document]:
    told = [operation.get("requestBody", {}), *operation["responses"].values()]
    return [one["content"] for one in told if "content" in one]


def example_of(schema: Document, schemas: Document, levels: int = _DEEPEST) -> Any:
    """Return a value that the schema allows, made of the examples of its fields.

    A schema may hold itself: below this many levels an object is empty.
    """
    value: Any
    match schema:
        case {"$ref": reference}:
            value = example_of(schemas[reference.removeprefix(_REFERENCE)], schemas, levels)
        case {"examples": [value, *_]} | {"default": value} | {"const": value}:
            pass
        case {"enum": [value, *_]}:
            pass
        case {"properties": fields}:
            inside = fields.items() if levels else ()
            value = {name: example_of(field, schemas, levels - 1) for name, field in inside}
        case {"anyOf": [first, *_]}:
            value = example_of(first, schemas, levels)
        case {"items": item}:
            value = [example_of(item, schemas, levels)]
        case _:
            value = _BY_TYPE.get(schema.get("type", "object"), {})
    return value
