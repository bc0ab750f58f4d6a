"""Databases with the schema applied, copied from a template because applying it takes long."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString, Self

import psycopg
from psycopg import sql

from consumer.postgres.migrations import schema_text
from deploy.local.stack import Addresses


class Template:
    """A database with the schema applied, of which copies are made."""

    def __init__(self, servers: Addresses) -> None:
        self._server = servers.database_url.rpartition("/")[0]
        self._admin = psycopg.connect(servers.database_url, autocommit=True)
        self._name = _new_name()

    def __enter__(self) -> Self:
        self._execute("CREATE DATABASE {}", self._name)
        with psycopg.connect(self._url(self._name)) as connection:
            connection.execute(schema_text())
        return self

    def __exit__(self, *_: object) -> None:
        self._drop(self._name)
        self._admin.close()

    @contextmanager
    def copy(self) -> Iterator[str]:
        """Make a database with the schema applied, give its URL, and drop it at the end."""
        name = _new_name()
        self._execute("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, self._name)
        try:
            yield self._url(name)
        finally:
            self._drop(name)

    def _url(self, name: str) -> str:
        return f"{self._server}/{name}"

    def _drop(self, name: str) -> None:
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _execute(self, statement: LiteralString, *names: str) -> None:
        self._admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _new_name() -> str:
    return f"test_{uuid.uuid4().hex[:12]}"
