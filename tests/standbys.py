"""Two PostgreSQL servers, of which one follows the other: killed, promoted, copied anew."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from consumer.postgres.migrations import schema_text
from deploy.local.ports import HOST, free_ports
from deploy.local.postgres import server as postgres
from deploy.local.postgres.server import NAME, PostgresServer, new_password
from deploy.local.postgres.standby import copy
from deploy.local.postgres.unprivileged import remove_data
from deploy.local.process import ServerProcess
from tests.databases import hash_once

# Only a crash of the machine would lose what was flushed; these crashes are the server's.
_SETTINGS = {"shared_buffers": "64MB", "fsync": "off", "full_page_writes": "off"}
_PATIENCE_S = 30.0


@dataclass
class Member:
    """One of the two servers."""

    server: PostgresServer
    process: ServerProcess | None = None

    def start(self) -> None:
        """Start it, and wait until it takes questions."""
        self.process = postgres.start(self.server)
        postgres.wait_ready(self.server, self.process)

    def kill(self) -> None:
        """End all its processes by SIGKILL, as a machine that loses its power would."""
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        for process in (parent, *parent.children()):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        assert self.process.wait(_PATIENCE_S)

    def stop(self) -> None:
        """End it cleanly."""
        assert self.process is not None
        assert postgres.stop(self.process)

    def follow(self, primary: "Member", *, name: str) -> None:
        """Become a new standby of another server, with a new copy of its data."""
        remove_data(self.server.folder)
        copy(primary.server, self.server, name=name)
        self.start()

    def promote(self) -> None:
        """Make the standby the primary; return when it takes writes."""
        assert self.ask("SELECT pg_promote(true, 30)") == [(True,)]

    def set(self, name: str, value: str) -> None:
        """Change a setting of the running server."""
        self.ask(f"ALTER SYSTEM SET {name} = '{value}'")
        self.ask("SELECT pg_reload_conf()")

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        """Return the rows of a statement, none if it has no result."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def pair(folder: Path) -> Iterator[tuple[Member, Member]]:
    """Run a primary with the schema applied and its standby, which is named `second`."""
    password = new_password()
    members = [
        Member(
            PostgresServer(
                folder=folder / name,
                log=folder / f"{name}.log",
                port=port,
                password=password,
                settings=_SETTINGS,
            )
        )
        for name, port in zip(("first", "second"), free_ports(2), strict=True)
    ]
    first, second = members
    try:
        first.start()
        postgres.create_database(first.server)
        hash_once(first.server.url)
        first.ask(schema_text())
        second.follow(first, name="second")
        yield first, second
    finally:
        for member in members:
            if member.process is not None:
                member.process.send(signal.SIGQUIT)
                member.process.wait(_PATIENCE_S)
            remove_data(member.server.folder)


def url(*members: Member, attributes: str) -> str:
    """Return the URL of the first of these servers that answers and has these attributes."""
    hosts = ",".join(f"{HOST}:{member.server.port}" for member in members)
    password = members[0].server.password
    return f"postgresql://{NAME}:{password}@{hosts}/{NAME}?target_session_attrs={attributes}"
