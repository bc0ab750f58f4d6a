"""The offsets of the meters' topic that the test's group has in PostgreSQL."""

from telemetry.streams import METER
from tests.acceptance.conftest import Environment, query


def store(environment: Environment, partition: int, offset: int) -> None:
    query(
        environment,
        "INSERT INTO ingest_offset VALUES"
        f" ('{environment['CONSUMER_GROUP']}', '{METER.topic}', {partition}, {offset})"
        " ON CONFLICT (consumer_group, topic, partition)"
        " DO UPDATE SET next_offset = excluded.next_offset RETURNING 1",
    )


def stored(environment: Environment) -> dict[int, int]:
    text = f"SELECT partition, next_offset FROM ingest_offset WHERE topic = '{METER.topic}'"
    return dict(query(environment, text))
