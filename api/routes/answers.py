"""How OpenAPI describes the answers of a route, by what the route does."""

from typing import Any

from api.problems import describe_problems

MANY: dict[str, Any] = {"responses": describe_problems(401, 422, 429, 503)}
ONE: dict[str, Any] = {"responses": describe_problems(401, 404, 422, 429, 503)}
NEW: dict[str, Any] = {"status_code": 201, "responses": describe_problems(401, 409, 422, 429, 503)}
CHANGE: dict[str, Any] = {"responses": describe_problems(401, 404, 409, 422, 429, 503)}
REMOVE: dict[str, Any] = {"status_code": 204, **ONE}
