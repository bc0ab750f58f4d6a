"""Long lists, a page at a time. Pure.

A cursor is the key of a page's last item, so that no page skips or repeats an item that is there
throughout.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from api.problems import Problem

Item = TypeVar("Item")
Row = TypeVar("Row")

MOST_ITEMS = 1_000
LARGEST_ID = 2**63 - 1

Limit = Annotated[int, Query(ge=1, le=MOST_ITEMS, description="most items of a page")]
After = Annotated[
    str | None,
    Query(max_length=400, description="`next` of the page before this one", examples=[None]),
]


class Page(BaseModel, Generic[Item]):
    """Items in their order; `next` asks for those that follow, null if there are none."""

    items: list[Item]
    next: str | None = Field(description="send it as `after`")


def page_of(
    rows: Sequence[Row], limit: int, item: Callable[[Row], Item], key: Callable[[Row], list[object]]
) -> Page[Item]:
    """Return a page of at most `limit` items.

    `rows` has one more if more follow; `key` returns what a row's cursor holds.
    """
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(items=[item(row) for row in shown], next=_cursor(key(shown[-1])) if more else None)


def _cursor(key: list[object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def read_cursor(after: str | None, *kinds: type) -> list[object] | None:
    """Return the key that a cursor holds, None without a cursor.

    Its values are of these kinds; raises Problem (422) for any other key.
    """
    if after is None:
        return None
    try:
        padded = after + "=" * (-len(after) % 4)
        key = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (binascii.Error, ValueError, RecursionError):
        key = None
    if (
        not isinstance(key, list)
        or len(key) != len(kinds)
        # The exact type: to Python, true is an int.
        or not all(type(part) is kind for part, kind in zip(key, kinds, strict=True))
        or not all(_is_storable(part) for part in key)
    ):
        raise Problem(422, "after: should be `next` of the page before", field="after")
    return key


def read_id(after: str | None) -> str:
    """Return the device's id that a cursor holds, "" without one; raises Problem (422)."""
    key = read_cursor(after, str)
    return "" if key is None else str(key[0])


def _is_storable(part: object) -> bool:
    """Return whether PostgreSQL accepts it: no NUL, no lone surrogate, no infinite number."""
    if isinstance(part, str):
        return "\0" not in part and not any("\ud800" <= letter <= "\udfff" for letter in part)
    return isinstance(part, float | int) and abs(part) < LARGEST_ID
