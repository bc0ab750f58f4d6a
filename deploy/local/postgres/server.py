"""One PostgreSQL server in a folder: configure it, start it, wait until it answers, stop it.

    server = PostgresServer(folder=…, log=…, port=…, password=…)
    process = start(server)
    wait_ready(server, process)
    create_database(server)

It listens on the loopback address only and asks for a generated password: with `trust` every
user of the machine would be the superuser, who may run programs as the server's user. There is
no Unix socket: every client uses the same DATABASE_URL.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from deploy.local.errors import ServerError
from deploy.local.ports import HOST
from deploy.local.postgres.logins import DATABASE, make_logins
from deploy.local.postgres.unprivileged import account_for, place_data, programs
from deploy.local.process import (
    Account,
    ServerProcess,
    check_alive,
    environment_of_servers,
    spawn,
    works_in,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROGRAM = "postgres"
NAME = DATABASE  # both the superuser and the database
SECONDS_TO_START = 90.0
SECONDS_TO_STOP = 60.0
SECONDS_TO_DIE = 20.0
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    # As in production, so that figures measured here hold: a commit is on disk when it returns.
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


def new_password() -> str:
    """Return a random password that needs no quoting in a URL or a shell."""
    return secrets.token_hex(16)


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """Where a server keeps its data and listens; the password is that of the data folder.

    `settings` add to its configuration or override it.
    """

    folder: Path
    log: Path
    port: int
    password: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The address for DATABASE_URL."""
        return f"postgresql://{NAME}:{self.password}@{HOST}:{self.port}/{NAME}"

    @property
    def data(self) -> Path:
        """The data folder; the server's process is found by it."""
        return self.folder.resolve() / "data"

    @property
    def unfinished(self) -> Path:
        """The folder in which the data are made."""
        return self.data.with_name("unfinished")


def configuration(server: PostgresServer) -> str:
    """Return a configuration file that includes initdb's; ALTER SYSTEM overrides both."""
    settings = SETTINGS | {"port": str(server.port)} | dict(server.settings)
    quoted = {name: value.replace("'", "''") for name, value in settings.items()}
    lines = [f"{name} = '{value}'" for name, value in quoted.items()]
    return "\n".join(("include 'data/postgresql.conf'", *lines)) + "\n"


def start(server: PostgresServer) -> ServerProcess:
    """Start the server; the first time, initialise its folder before. `wait_ready` waits for it.

    Raises MissingPartError, StateError, ServerError, OSError.
    """
    home = place_data(server.folder)
    server.log.parent.mkdir(parents=True, exist_ok=True)
    account = account_for(server.data)
    binaries = programs(account)
    if server.data.exists():
        _clear_lock(server)
    else:
        _initialise(server, binaries, account)
    # Outside the data folder, where the server's user could have put a link: we may be root.
    file = home / "wattline.conf"
    file.write_text(configuration(server))
    file.chmod(0o644)
    words = [binaries / PROGRAM, "-D", server.data, "-c", f"config_file={file}"]
    try:
        return spawn(
            [str(word) for word in words],
            argument=str(server.data),
            log=server.log,
            folder=Path("/"),
            environment=environment_of_servers(),
            account=account,
        )
    except PermissionError as error:
        raise ServerError(f"PostgreSQL cannot be run as another user: {error}") from error


def _initialise(server: PostgresServer, binaries: Path, account: Account | None) -> None:
    password = server.data.with_name("password")
    password.unlink(missing_ok=True)
    password.touch(mode=0o600)
    password.write_text(server.password)
    if account:
        os.chown(password, account.uid, account.gid)
    words: Sequence[str] = (
        str(binaries / "initdb"),
        f"--pgdata={server.unfinished}",
        f"--username={NAME}",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        # The same order and case rules on every machine, independent of its locales.
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    )
    try:
        make_data(server, words, account)
    finally:
        password.unlink()


def make_data(
    server: PostgresServer, words: Sequence[str], account: Account | None, **environment: str
) -> None:
    """Run a program that fills `unfinished`, then move that into place: half of it is never used.

    Raises ServerError.
    """
    shutil.rmtree(server.unfinished, ignore_errors=True)
    server.unfinished.mkdir(mode=0o700)
    if account:
        os.chown(server.unfinished, account.uid, account.gid)
    try:
        with server.log.open("ab") as log:
            subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=environment_of_servers() | environment,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=() if account else None,
                check=True,
            )
    except subprocess.CalledProcessError as error:
        raise ServerError("PostgreSQL's data folder cannot be made", log=server.log) from error
    server.unfinished.rename(server.data)


def _clear_lock(server: PostgresServer) -> None:
    """Remove the lock file that a killed server has left.

    PostgreSQL does that by itself, but takes a zombie, or a later process with the same pid, for
    the old server. All processes of a server work in the data folder: once none does, the old
    server is gone.
    """
    deadline = time.monotonic() + SECONDS_TO_DIE
    while works_in(server.data):
        if time.monotonic() > deadline:
            raise ServerError("processes of an earlier PostgreSQL do not end", log=server.log)
        time.sleep(0.05)
    (server.data / "postmaster.pid").unlink(missing_ok=True)


def version() -> str:
    """Return the version of the programs, such as 18.4; raises MissingPartError."""
    answer = subprocess.run(
        [programs(None) / PROGRAM, "--version"], capture_output=True, text=True, check=True
    )
    return answer.stdout.split()[-1]


def wait_ready(
    server: PostgresServer, process: ServerProcess, *, seconds: float = SECONDS_TO_START
) -> None:
    """Return once the server accepts a connection; raises ServerError."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            _connect(server).close()
        except psycopg.OperationalError as error:
            check_alive(process, name="PostgreSQL", log=server.log)
            if time.monotonic() > deadline:
                reason = str(error).strip().splitlines()[0]
                raise ServerError(
                    f"PostgreSQL did not answer within {seconds:.0f} s: {reason}", log=server.log
                ) from error
            time.sleep(0.05)
        else:
            return


def create_database(server: PostgresServer) -> None:
    """Create the database and the logins that do not exist."""
    with _connect(server) as connection:
        exists = connection.execute("SELECT FROM pg_database WHERE datname = %s", [NAME])
        if exists.rowcount == 0:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
    with _connect(server, database=NAME) as connection:
        make_logins(connection, server.password)


def _connect(server: PostgresServer, *, database: str = "postgres") -> psycopg.Connection:
    return psycopg.connect(
        host=HOST,
        port=server.port,
        user=NAME,
        password=server.password,
        dbname=database,
        connect_timeout=3,
        autocommit=True,
    )


def stop(process: ServerProcess, *, seconds: float = SECONDS_TO_STOP) -> bool:
    """Stop fast: sessions end, nothing is lost. Return False if it had to be killed."""
    return process.stop(signal.SIGINT, seconds=seconds)
