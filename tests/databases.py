"""Databases with the schema applied, copied from a template because applying it takes long."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString, Self

import psycopg
from psycopg import sql

from consumer.postgres.migrations import schema_text
from deploy.local.postgres.unprivileged import account_for
from deploy.local.stack import Addresses
from deploy.local.state import read

MEMORY = Path("/dev/shm")  # noqa: S108  what is made there is ours alone
LEAST_FREE_BYTES = 2 * 1024**3


class Template:
    """A database with the schema applied, of which copies are made in a tablespace."""

    def __init__(self, servers: Addresses, *, tablespace: str) -> None:
        self._server = servers.database_url.rpartition("/")[0]
        self._admin = psycopg.connect(servers.database_url, autocommit=True)
        self._name = _new_name()
        self._tablespace = tablespace
        self._used: list[str] = []

    def __enter__(self) -> Self:
        self._execute("CREATE DATABASE {} TABLESPACE {}", self._name, self._tablespace)
        with psycopg.connect(self._url(self._name)) as connection:
            connection.execute(schema_text())
        return self

    def __exit__(self, *_: object) -> None:
        self._drop(*self._used, self._name)
        self._admin.close()

    @contextmanager
    def copy(self) -> Iterator[str]:
        """Make a database with the schema applied, give its URL, and drop it in the end.

        It is dropped when the next one has been used: while a session with it ends, PostgreSQL
        would wait 0.1 s.
        """
        name = _new_name()
        self._execute(
            "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy TABLESPACE {}",
            name,
            self._name,
            self._tablespace,
        )
        try:
            yield self._url(name)
        finally:
            self._drop(*self._used)
            self._used = [name]

    def _url(self, name: str) -> str:
        return f"{self._server}/{name}"

    def _drop(self, *names: str) -> None:
        for name in names:
            self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _execute(self, statement: LiteralString, *names: str) -> None:
        self._admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def hash_once(url: str) -> None:
    """Let a password be hashed once, and not 4,096 times, by each client that connects with it.

    That was most of what a connection cost its client. It protects a password that can be guessed.
    """
    with psycopg.connect(url) as admin:
        admin.execute("SET scram_iterations = 1")
        change = sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}")
        admin.execute(change.format(sql.Literal(admin.info.password)))


@contextmanager
def tablespace(servers: Addresses, stack: Path) -> Iterator[str]:
    """Make a tablespace in memory, if the server is the stack's and there is room.

    A database is some 360 files. A disk may take ten times as long to make and remove them.
    """
    state = read(stack)
    ours = state and state.postgres and state.postgres.address == servers.database_url
    if not ours or not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < LEAST_FREE_BYTES:
        yield "pg_default"
        return
    name, account = _new_name(), account_for(stack / "postgres" / "data")
    with tempfile.TemporaryDirectory(prefix="wattline-", dir=MEMORY) as folder:
        if account:
            os.chown(folder, account.uid, account.gid)
        with psycopg.connect(servers.database_url, autocommit=True) as admin:
            place = sql.SQL("CREATE TABLESPACE {} LOCATION {}")
            admin.execute(place.format(sql.Identifier(name), sql.Literal(folder)))
            yield name
            admin.execute(sql.SQL("DROP TABLESPACE {}").format(sql.Identifier(name)))


def _new_name() -> str:
    return f"test_{uuid.uuid4().hex[:12]}"
