"""Another session keeps one stream's tables from us, and the other stream goes on."""

import asyncio

import psycopg
from aiokafka import TopicPartition

from deploy.replica import PATIENCE_S
from telemetry.streams import METER, VEHICLE
from tests.acceptance.conftest import Environment, query
from tests.acceptance.member import a_member, eventually, send
from tests.acceptance.readings import meter_messages, vehicle_messages
from tests.acceptance.work import conflicts, ended, held

FIRST = TopicPartition(METER.topic, 0)
FEW_BYTES = 1 << 20


async def test_vehicles_go_on_while_the_meters_table_is_kept_from_every_connection(
    environment: Environment,
) -> None:
    # Less memory than the meters take that wait.
    async with a_member(environment, flush_interval_ms=50, buffer_max_bytes=FEW_BYTES) as member:
        await eventually(lambda: len(member.schedule.owned) == 24, what="all opened")

        def vehicles_go_on(count: int) -> bool:
            under_way = [one for one in member.schedule.owned if one.is_under_way]
            trials = sum(one.stream is METER for one in under_way)
            assert trials <= 1, "one flush finds out for all whether the lock has gone"
            return ended(member, VEHICLE) >= count

        with psycopg.connect(environment["DATABASE_URL"]) as other:
            other.execute("LOCK TABLE meter_current_state IN EXCLUSIVE MODE")
            # More partitions than connections: each connection could wait for the lock.
            for number in range(4):
                send(environment, TopicPartition(METER.topic, number), meter_messages(1_500))
            await eventually(
                lambda: member.metric("telemetry_flush_retries_total", cause="lock") >= 2,
                what="both connections have met the lock",
            )
            send(environment, TopicPartition(VEHICLE.topic, 0), vehicle_messages(100))
            await eventually(lambda: vehicles_go_on(100), what="vehicles go on")
            waiting = held(member, METER)
            send(environment, TopicPartition(METER.topic, 0), meter_messages(100))
            send(environment, TopicPartition(VEHICLE.topic, 1), vehicle_messages(100))
            await eventually(lambda: vehicles_go_on(200), what="they still go on")
            assert held(member, METER) == waiting >= FEW_BYTES
            assert ended(member, METER) == 0
        await eventually(lambda: ended(member, METER) >= 6_100, what="meters are fetched again")
        assert query(environment, "SELECT count(*) FROM meter_current_state")[0][0] >= 100
        assert member.metric("telemetry_fenced_batches_total", topic=METER.topic) == 0
        await eventually(
            lambda: member.metric("telemetry_buffered_bytes") == 0, what="nothing is held"
        )


async def test_a_flush_in_conflict_is_tried_again_while_nothing_is_fetched(
    environment: Environment,
) -> None:
    async with a_member(environment, flush_interval_ms=50) as member:
        await eventually(lambda: len(member.schedule.owned) == 24, what="all opened")
        (owned,) = (one for one in member.schedule.owned if one.partition == FIRST)
        with psycopg.connect(environment["DATABASE_URL"]) as other:
            other.execute("LOCK TABLE meter_current_state IN EXCLUSIVE MODE")
            send(environment, FIRST, meter_messages(100))
            await eventually(lambda: conflicts(owned) == 1 and owned.is_under_way, what="a retry")
            draining = asyncio.create_task(member.pipeline.drain(PATIENCE_S))
            await eventually(lambda: conflicts(owned) == 2, what="it met the lock while draining")
        await eventually(draining.done, what="drained")
        assert ended(member, METER) >= 100
