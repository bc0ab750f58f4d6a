"""A group of replicas: how they share the partitions, and what Kafka knows of their offsets."""

from aiokafka.admin import AIOKafkaAdminClient

from deploy.replica import Replica
from runtime.kafka.settings import KafkaSettings
from tests.acceptance.conftest import Environment, until


async def committed_offsets(environment: Environment) -> dict[int, int]:
    """Return what Kafka has of the group, by partition of the meters' topic."""
    kafka = KafkaSettings(bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"])
    admin = AIOKafkaAdminClient(**kafka.aiokafka())
    await admin.start()
    found = await admin.list_consumer_group_offsets(environment["CONSUMER_GROUP"])
    await admin.close()
    return {
        place.partition: metadata.offset
        for place, metadata in found.items()
        if place.topic == "telemetry.meter"
    }


def share_partitions(*replicas: Replica) -> None:
    """Wait until the replicas have equal parts of the 24 partitions."""
    for replica in replicas:
        until(
            lambda replica=replica: (  # type: ignore[misc]  # mypy infers no default's type
                replica.metric("telemetry_assigned_partitions") == 24 / len(replicas)
            ),
            what="the partitions are shared",
        )
