"""Commands before anything is there: a cluster without topics, a database without the schema."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from deploy.local.stack import Addresses
from tests.acceptance.conftest import Environment
from tests.acceptance.own_broker.broker import Broker
from tests.acceptance.program import Ended, run

TOPICS = "telemetry.meter, telemetry.vehicle"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that no client has asked anything yet."""
    broker = Broker.started(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.kill()


@pytest.fixture
def empty_database(servers: Addresses) -> Iterator[str]:
    name = f"empty_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield servers.database_url.rsplit("/", 1)[0] + f"/{name}"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def command(environment: Environment, text: str) -> Ended:
    return run(environment, "consumer", *text.split())


def test_offsets_of_a_cluster_without_topics_are_said_to_be_none(
    environment: Environment, group: str
) -> None:
    shown = command(environment, "offsets show")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == f"Kafka has no topic {TOPICS}: a replica makes it when it starts\n"
    assert shown.stderr.splitlines() == [
        f"{group} (CONSUMER_GROUP) has no stored offsets of {TOPICS}"
    ]


def test_offsets_of_a_topic_that_is_not_there_cannot_be_moved(environment: Environment) -> None:
    moved = command(environment, "offsets reset --topic telemetry.meter --to earliest --yes")
    assert moved.returncode == 1
    assert moved.stderr.splitlines() == ["error: Kafka has no topic telemetry.meter"]


def test_letters_of_a_topic_that_is_not_there_are_not_redriven(
    environment: Environment, group: str
) -> None:
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        connection.execute(
            "INSERT INTO dead_letter VALUES (%s, 'telemetry.meter', 0, 0, NULL, NULL, '[]', NULL,"
            " 'empty_value', '')",
            [group],
        )
    sent = command(environment, "dead-letters redrive")
    assert (sent.returncode, sent.stdout) == (1, "sent 0, left out 0\n")
    [line] = sent.stderr.splitlines()
    assert "the topic telemetry.meter does not exist" in line


@pytest.mark.parametrize(
    "text",
    [
        "offsets show",
        "offsets reset --topic telemetry.meter --to earliest --yes",
        "partitions list",
        "partitions maintain",
        "dead-letters list",
        "dead-letters show telemetry.meter 0 0",
        "dead-letters redrive",
        "dead-letters export",
        "dead-letters purge --older-than 1d --yes",
    ],
)
def test_a_database_without_the_schema_is_one_line_that_says_so(
    environment: Environment, empty_database: str, text: str
) -> None:
    ended = command(environment | {"DATABASE_URL": empty_database}, text)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("error: the schema is at version 0, this code needs ")
    assert line.endswith(": run `python -m consumer schema apply`")
