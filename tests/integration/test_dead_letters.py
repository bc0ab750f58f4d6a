"""Dead letters in a real PostgreSQL: chosen, listed, exported, purged."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumer.dead_letters.headers import StoredHeader
from consumer.dead_letters.table import (
    Choice,
    Letter,
    count_dead_letters,
    list_dead_letters,
    purge_dead_letters,
    read_dead_letters,
)
from consumer.postgres.connection import Connection
from tests.integration.conftest import GROUP, NOW, rows
from tests.integration.dead_letters import CHOICE, encoded, write


@pytest.mark.parametrize(
    ("chosen", "offsets"),
    [
        ({}, [1, 2, 3]),
        ({"reason": "too_old"}, [2]),
        ({"topic": "b"}, [3]),
        ({"topic": "a", "partition": 1}, [2]),
        ({"topic": "a", "partition": 0, "record_offset": 1}, [1]),
        ({"since": NOW - timedelta(days=1)}, [2, 3]),
        ({"until": NOW - timedelta(days=1)}, [1]),
        ({"redriven": True}, [3]),
        ({"redriven": False}, [1, 2]),
    ],
)
async def test_a_choice_means_the_same_to_every_statement(
    connection: Connection, chosen: dict[str, Any], offsets: list[int]
) -> None:
    await write(connection, "a", 1, at=NOW - timedelta(days=2))
    await write(connection, "a", 2, reason="too_old", partition=1, at=NOW - timedelta(days=1))
    await write(connection, "b", 3)
    await write(connection, "b", 4, group="another")
    await connection.execute("UPDATE dead_letter SET redriven_at = now() WHERE record_offset = 3")
    choice = Choice(consumer_group=GROUP, **chosen)
    counted = await count_dead_letters(connection, choice)
    assert sum(count.messages for count in counted) == len(offsets)
    listed = await list_dead_letters(connection, choice, limit=10)
    assert sorted(entry.record_offset for entry in listed) == offsets
    assert [letter.record_offset async for letter in read_dead_letters(connection, choice)] == (
        offsets
    )
    assert await purge_dead_letters(connection, choice) == len(offsets)
    left = await rows(connection, "SELECT record_offset FROM dead_letter ORDER BY 1")
    assert [offset for (offset,) in left] == [n for n in (1, 2, 3, 4) if n not in offsets]


async def test_a_purge_deletes_by_pages_the_oldest_first(connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO dead_letter SELECT %s, 'a', 0, n, NULL, NULL, '[]', NULL, 'empty_value', '',"
        " now() - n * interval '1 hour' FROM generate_series(1, 2500) AS n",
        [GROUP],
    )
    choice = Choice(consumer_group=GROUP, until=datetime.now(UTC) - timedelta(hours=100.5))
    assert await purge_dead_letters(connection, choice) == 1_000
    assert await rows(connection, "SELECT max(record_offset) FROM dead_letter") == [(1_500,)]
    assert await purge_dead_letters(connection, choice) == 1_000
    assert await purge_dead_letters(connection, choice) == 400
    assert await purge_dead_letters(connection, choice) == 0
    assert await rows(connection, "SELECT count(*) FROM dead_letter") == [(100,)]


async def test_an_exported_letter_holds_every_byte(connection: Connection) -> None:
    header: StoredHeader = ["\ufffd", None, encoded(b"\xff")]
    await write(connection, "a", 7, key=b"\xff", value=b"\xfe\x00", headers=[header], partition=2)
    await write(connection, "a", 8, key=None, value="1\u00a0°C".encode())
    first, second = [
        json.loads(json.dumps(letter.exported(GROUP)))
        async for letter in read_dead_letters(connection, CHOICE)
    ][::-1]
    assert first["offset"] == 7
    assert base64.b64decode(first["key"]) == b"\xff"
    assert base64.b64decode(first["value"]) == b"\xfe\x00"
    assert first["value_text"] is None
    assert first["headers"] == [header]
    assert (first["consumer_group"], first["topic"], first["partition"]) == (GROUP, "a", 2)
    assert datetime.fromisoformat(first["record_timestamp"]) == NOW
    assert datetime.fromisoformat(first["dead_lettered_at"]) == NOW
    assert (first["reason"], first["detail"]) == ("malformed_json", "detail")
    assert first["redriven_at"] is None
    assert second["key"] is None
    assert second["value_text"] == "1\u00a0°C"
    assert (
        first.keys()
        == second.keys()
        == {"consumer_group", "offset"}
        | (set(Letter.__slots__) - {"record_offset"})
        | {"value_text"}
    )
