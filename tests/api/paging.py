"""All pages of an answer, one after the other."""

from typing import Any

from tests.api.conftest import Client


async def pages(client: Client, path: str, **query: str | int) -> list[dict[str, Any]]:
    """Return the items of all pages."""
    items: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        answer = await client.get(path, params={**query, **after})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items += page["items"]
        assert set(page) == {"items", "next"}
        if page["next"] is None:
            return items
        assert len(page["items"]) == query["limit"]
        after = {"after": page["next"]}
