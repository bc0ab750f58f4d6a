"""A PostgreSQL that takes TLS only: the system's, because the wheel's is built without OpenSSL."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from deploy.local.ports import HOST, free_port
from tests.authority import Authority
from tests.needed import program

OWNER, PASSWORD = "owner", "hunter3"
"""The superuser, who shows a password."""
CLIENT = "wattline"
"""A role that shows a certificate too, whose CN is its name. It owns the tables."""
ROTATED = "rotated"
"""A role whose password a test changes."""
DATABASE = "telemetry"
_MEMORY = Path("/dev/shm")  # noqa: S108  what is made there is the server's alone
_RULES = f"""
hostssl all {CLIENT} {HOST}/32 scram-sha-256 clientcert=verify-full
hostssl all all {HOST}/32 scram-sha-256
"""
_SETTINGS = f"""
listen_addresses = '{HOST}'
unix_socket_directories = ''
ssl = on
ssl_ca_file = 'ca.pem'
ssl_cert_file = 'server.pem'
ssl_key_file = 'server.key'
password_encryption = 'scram-sha-256'
shared_buffers = 32MB
fsync = off
full_page_writes = off
"""


@dataclass(frozen=True)
class Postgres:
    """A server that runs; `authority` signed its certificate."""

    authority: Authority
    data: Path
    port: int

    def url(self, role: str, *, password: str = PASSWORD, host: str = HOST, **more: object) -> str:
        """Return a URL that checks the server, with further parameters."""
        parameters = {"sslmode": "verify-full", "sslrootcert": self.authority.certificate, **more}
        text = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"postgresql://{role}:{password}@{host}:{self.port}/{DATABASE}?{text}"

    @contextmanager
    def presenting(self, certificate: tuple[Path, Path]) -> Iterator[None]:
        """Show a certificate that is not to be trusted to those who connect meanwhile."""
        own = self.data.with_name("own.pem"), self.data.with_name("own.key")
        for file, place in zip(own, self._shown, strict=True):
            file.write_bytes(place.read_bytes())
        self._show(certificate, is_good=False)
        try:
            yield
        finally:
            self._show(own, is_good=True)

    def _show(self, certificate: tuple[Path, Path], *, is_good: bool) -> None:
        for file, place in zip(certificate, self._shown, strict=True):
            _hand_over(file, place)
        self.ask("SELECT pg_reload_conf()")
        while self._is_trusted() != is_good:
            time.sleep(0.02)

    @property
    def _shown(self) -> tuple[Path, Path]:
        return self.data / "server.pem", self.data / "server.key"

    def ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask as the owner, whatever certificate the server shows."""
        with psycopg.connect(
            self.url(OWNER, sslmode="require", sslrootcert=""), autocommit=True
        ) as one:
            asked = one.execute(statement.encode(), values or None)
            return asked.fetchall() if asked.description else []

    def _is_trusted(self) -> bool:
        try:
            psycopg.connect(self.url(OWNER)).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def serving(authority: Authority) -> Iterator[Postgres]:
    """Make a server in memory, run it, and remove it."""
    binaries = Path(program("postgres", package="postgresql")).resolve().parent
    account = _account()
    with tempfile.TemporaryDirectory(prefix="wattline-", dir=_MEMORY) as folder:
        data, secret, log = (Path(folder, name) for name in ("data", "password", "log"))
        data.mkdir()
        secret.write_text(PASSWORD)
        shutil.chown(folder, *account)
        shutil.chown(data, *account)
        shutil.chown(secret, *account)
        words = ["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-sync"]
        words += [f"--pgdata={data}", f"--username={OWNER}", f"--pwfile={secret}"]
        _run([str(binaries / "initdb"), *words], account)
        port = free_port()
        (data / "pg_hba.conf").write_text(_RULES)
        (data / "postgresql.conf").write_text(f"{_SETTINGS}port = {port}\n")
        certificate, key = authority.sign("database")
        for file, name in {
            authority.certificate: "ca.pem",
            certificate: "server.pem",
            key: "server.key",
        }.items():
            _hand_over(file, data / name)
        with log.open("wb") as written:
            process = subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(data)],
                stdout=written,
                stderr=written,
                cwd="/",
                user=account[0],
                group=account[1],
            )
        server = Postgres(authority, data, port)
        try:
            _wait(server, process, log)
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait()


def _wait(server: Postgres, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until it answers, and make the database and the client's role."""
    maintenance = server.url(OWNER).replace(f"/{DATABASE}?", "/postgres?")
    while True:
        assert process.poll() is None, log.read_text()
        try:
            with psycopg.connect(maintenance, autocommit=True) as admin:
                admin.execute(f"CREATE ROLE {CLIENT} LOGIN PASSWORD '{PASSWORD}'".encode())
                admin.execute(
                    f"CREATE ROLE {ROTATED} LOGIN SUPERUSER PASSWORD '{PASSWORD}'".encode()
                )
                admin.execute(f"CREATE DATABASE {DATABASE} OWNER {CLIENT}".encode())
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return


def _account() -> tuple[int, int]:
    """Return the user and the group that run the server: root may not."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _run(words: list[str], account: tuple[int, int]) -> None:
    subprocess.run(
        words, check=True, capture_output=True, cwd="/", user=account[0], group=account[1]
    )


def _hand_over(file: Path, place: Path) -> None:
    """Copy a file to where the server reads it, for its eyes only."""
    place.write_bytes(file.read_bytes())
    place.chmod(0o600)
    shutil.chown(place, *_account())
