"""Create the two topics if they are missing."""

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from runtime.kafka.brokers import explained
from runtime.kafka.settings import KafkaSettings
from telemetry.streams import STREAMS

DEFAULT_PARTITIONS = 12
BROKER_DEFAULT = -1


async def create_topics(
    kafka: KafkaSettings,
    *,
    partitions: int = DEFAULT_PARTITIONS,
    replication_factor: int = BROKER_DEFAULT,
) -> list[str]:
    """Create the topics that are missing and return their names; leave existing ones as they are.

    Raises aiokafka's KafkaError if the broker refuses, Unreachable if no broker answers.
    """
    admin = AIOKafkaAdminClient(**kafka.aiokafka())
    try:
        async with explained(kafka):
            await admin.start()
            existing = set(await admin.list_topics())
            missing = [stream.topic for stream in STREAMS if stream.topic not in existing]
            if not missing:
                return []
            response = await admin.create_topics(
                [_new_topic(topic, partitions, replication_factor) for topic in missing]
            )
    finally:
        await admin.close()
    created = []
    for topic, code, *detail in response.topic_errors:
        error = for_code(code)
        if code == 0:
            created.append(topic)
        elif error is not TopicAlreadyExistsError:  # another replica may have been faster
            raise error(f"{topic}: {detail[0] if detail else error.description}")
    return created


def _new_topic(name: str, partitions: int, replication_factor: int) -> NewTopic:
    topic = NewTopic(name, partitions, 1)
    # The constructor refuses -1, the broker's default, which the protocol takes since KIP-464.
    topic.replication_factor = replication_factor
    return topic
