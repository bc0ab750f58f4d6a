"""A real Kafka and a real PostgreSQL for the tests that need them.

Addresses from the environment win; else containers, where an engine answers; else the local
stack, in a folder of its own.
"""

import gc
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql

from consumer.postgres.migrations import schema_text
from deploy.local import stack
from deploy.local.stack import Addresses
from tests.kafka_clients import left_open

# Those who test at the same time have servers of their own: the topics are the same everywhere.
FOLDER = Path(__file__).parents[1] / ".local" / "test" / os.environ.get("PYTEST_XDIST_WORKER", "")


# How long an example takes is the machine's doing.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def servers() -> Iterator[Addresses]:
    """Where Kafka and PostgreSQL are."""
    given = {"KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL"} <= os.environ.keys()
    with ExitStack() as cleanup:
        if not given and _engine_answers():
            yield _start_containers(cleanup)
        else:
            yield stack.up(FOLDER)
            gc.collect()  # what is dropped, but in a cycle
            left = left_open()
            stack.down(FOLDER)
            assert left == [], "a test has left a client of Kafka open"


@pytest.fixture
def database_url(servers: Addresses) -> Iterator[str]:
    """A database of the test's own, with the schema applied."""
    with new_database(servers) as url:
        yield url


@contextmanager
def new_database(servers: Addresses) -> Iterator[str]:
    """Make a database with the schema applied, and drop it at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = _with_database(servers.database_url, name)
        with psycopg.connect(url) as connection:
            connection.execute(schema_text())
        yield url
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def group() -> str:
    """A consumer group of the test's own."""
    return f"test-{uuid.uuid4().hex[:12]}"


def _with_database(url: str, name: str) -> str:
    return url.rsplit("/", 1)[0] + f"/{name}"


def _engine_answers() -> bool:
    if "DOCKER_HOST" not in os.environ and not Path("/var/run/docker.sock").is_socket():
        return False
    import docker  # noqa: PLC0415  slow, and needed only where an engine may be

    try:
        client = docker.from_env(timeout=2)
    except docker.errors.DockerException:
        return False
    client.close()
    return True


def _start_containers(cleanup: ExitStack) -> Addresses:
    from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415  likewise
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415  likewise

    kafka = cleanup.enter_context(KafkaContainer().with_kraft())
    postgres = cleanup.enter_context(PostgresContainer("postgres:18", driver=None))
    return Addresses(
        kafka_bootstrap_servers=kafka.get_bootstrap_server(),
        database_url=postgres.get_connection_url(),
    )
