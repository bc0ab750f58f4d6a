"""The servers that a benchmark uses, and new databases on them."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import typer
from psycopg import sql

from deploy.local import stack
from deploy.local.errors import LocalStackError
from deploy.local.stack import Addresses
from deploy.replica import ROOT, ReplicaError

FOLDER = ROOT / ".local" / "bench"


@contextmanager
def servers(*, purge: bool = False) -> Iterator[Addresses]:
    """Lend a Kafka and a PostgreSQL; with `purge` their data goes with them.

    KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL, if they are set, name the servers to use. No other
    program may write to the topics meanwhile. A failure is one line on stderr and exit code 1.
    """
    try:
        try:
            yield stack.up(FOLDER)
        finally:
            stack.down(FOLDER, purge=purge)
    except (LocalStackError, ReplicaError, psycopg.Error, subprocess.CalledProcessError) as error:
        typer.echo(f"error: {str(error).splitlines()[0]}", err=True)
        raise typer.Exit(1) from error


@contextmanager
def new_database(addresses: Addresses) -> Iterator[str]:
    """Lend a new database with the schema and its partitions, nothing of it in the cache."""
    name = f"bench_{uuid.uuid4().hex[:8]}"
    url = addresses.database_url.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(addresses.database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            subprocess.run(
                [sys.executable, "-m", "consumer", "schema", "apply"],
                cwd=ROOT,
                env=os.environ | {"DATABASE_URL": url},
                check=True,
                stdout=subprocess.DEVNULL,
            )
            admin.execute("CHECKPOINT")
            yield url
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
