"""A real Kafka and a real PostgreSQL for the tests that need them.

The addresses in the environment are used if there are any; else containers, if an engine answers;
else the local stack, in a folder of its own.
"""

import gc
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import psycopg
import pytest

from deploy.local import stack
from deploy.local.stack import Addresses
from tests.databases import Template
from tests.forkserver import client as forks
from tests.kafka_clients import left_open

# Workers that test at the same time have servers of their own, because the topics have fixed names.
FOLDER = Path(__file__).parents[1] / ".local" / "test" / os.environ.get("PYTEST_XDIST_WORKER", "")


forks.install()

# An example may take long on a busy machine.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


# The files that take longest, in order. If one of them began last, all workers would wait for it.
LONGEST = (
    "tests/faults/test_crashes.py",
    "tests/faults/test_short.py",
    "tests/attack/test_short.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, and keep the tests with servers on one worker if asked to."""
    places = {file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.location[0], len(LONGEST)))
    for item in items:
        if "servers" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("servers"))


@pytest.fixture(scope="session")
def servers() -> Iterator[Addresses]:
    """Where Kafka and PostgreSQL are."""
    given = {"KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL"} <= os.environ.keys()
    with ExitStack() as cleanup:
        if not given and _engine_answers():
            yield _start_containers(cleanup)
        else:
            addresses = stack.up(FOLDER)
            if not given:
                _expect_no_power_cut(addresses)
            yield addresses
            gc.collect()  # clients that are dropped, but in a cycle
            left = left_open()
            stack.down(FOLDER)
            assert left == [], "a test has left a client of Kafka open"


@pytest.fixture(scope="session")
def template(servers: Addresses) -> Iterator[Template]:
    """The schema, applied once: each test's database is a copy of it."""
    with Template(servers) as template:
        yield template


@pytest.fixture
def database_url(template: Template) -> Iterator[str]:
    """A database of the test's own, with the schema applied."""
    with template.copy() as url:
        yield url


@pytest.fixture
def group() -> str:
    """A consumer group of the test's own."""
    return f"test-{uuid.uuid4().hex[:12]}"


def _expect_no_power_cut(addresses: Addresses) -> None:
    """Turn off fsync in our own PostgreSQL: only a crash of the machine would lose anything.

    The fault bench kills PostgreSQL. It has servers of its own, with the default settings.
    """
    with psycopg.connect(addresses.database_url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET fsync = off")
        admin.execute("ALTER SYSTEM SET full_page_writes = off")
        admin.execute("SELECT pg_reload_conf()")


def _engine_answers() -> bool:
    if "DOCKER_HOST" not in os.environ and not Path("/var/run/docker.sock").is_socket():
        return False
    import docker  # noqa: PLC0415  slow, and needed only if there may be an engine

    try:
        client = docker.from_env(timeout=2)
    except docker.errors.DockerException:
        return False
    client.close()
    return True


def _start_containers(cleanup: ExitStack) -> Addresses:
    from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415  the same
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415  the same

    kafka = cleanup.enter_context(KafkaContainer().with_kraft())
    postgres = cleanup.enter_context(PostgresContainer("postgres:18", driver=None))
    return Addresses(
        kafka_bootstrap_servers=kafka.get_bootstrap_server(),
        database_url=postgres.get_connection_url(),
    )
