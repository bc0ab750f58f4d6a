"""A real Kafka and a real PostgreSQL for the tests that need them.

The addresses in the environment are used if there are any; else containers, if an engine answers;
else the local stack, in a folder of its own.
"""

import gc
import os
import sys
import uuid
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest

from deploy.local import stack
from deploy.local.stack import Addresses
from tests import brief_jvm
from tests.databases import Template, hash_once, tablespace
from tests.forkserver import client as forks
from tests.kafka_clients import left_open

# Workers that test at the same time have servers of their own, because the topics have fixed names.
FOLDER = Path(__file__).parents[1] / ".local" / "test" / os.environ.get("PYTEST_XDIST_WORKER", "")

# Only a crash of the machine would lose anything. The fault bench kills PostgreSQL: its servers
# have the default settings.
NO_POWER_CUT = {"fsync": "off", "full_page_writes": "off"}


forks.install()

# httpx asks for it several times a request, and each time the whole path was searched.
if find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]  # which says that there is none

# An example may take long on a busy machine.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


# The files that take longest, in order. If one of them began last, all workers would wait for it.
LONGEST = (
    "tests/faults/test_short.py",
    "tests/faults/test_crashes.py",
    "tests/attack/test_short.py",
    "tests/api/test_outages.py",
    "tests/acceptance/test_lag.py",
    "tests/acceptance/test_demo.py",
    "tests/acceptance/test_failover.py",
    "tests/acceptance/test_answers.py",
    "tests/page/test_browser.py",
    "tests/security/test_refusals.py",
    "tests/security/test_programs.py",
    "tests/acceptance/test_service.py",
    "tests/acceptance/test_upgrade.py",
    "tests/page/test_figures.py",
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for garbage in what the tests make, but not in all the tests and modules each time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, and keep the tests with servers on one worker if asked to."""
    places = {file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(LONGEST)))
    for item in items:
        if "servers" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("servers"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make the archive of Kafka's classes if it will be needed: it is no test's time."""
    needed = any("servers" in getattr(item, "fixturenames", ()) for item in session.items)
    if needed and not session.config.option.collectonly and "DATABASE_URL" not in os.environ:
        brief_jvm.options()


@pytest.fixture(scope="session")
def servers() -> Iterator[Addresses]:
    """Where Kafka and PostgreSQL are."""
    given = {"KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL"} <= os.environ.keys()
    with ExitStack() as cleanup:
        if not given and _engine_answers():
            yield _start_containers(cleanup)
        else:
            jvm = () if given else brief_jvm.options()
            addresses = stack.up(FOLDER, jvm=jvm, settings=NO_POWER_CUT)
            if "DATABASE_URL" not in os.environ:
                hash_once(addresses.database_url)
            yield addresses
            gc.collect()  # clients that are dropped, but in a cycle
            left = left_open()
            stack.down(FOLDER)
            assert left == [], "a test has left a client of Kafka open"


@pytest.fixture(scope="session")
def template(servers: Addresses) -> Iterator[Template]:
    """The schema, applied once: each test's database is a copy of it."""
    with (
        tablespace(servers, FOLDER) as place,
        Template(servers, tablespace=place) as template,
    ):
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
