"""Batches that hold more than a replica can: they stop their partition and nothing else."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka.consumer import fetcher

from consumer.kafka.aiokafka_patches import install
from consumer.kafka.batches import Batches
from deploy.replica import Replica
from telemetry.streams import METER
from tests.acceptance.batches import meters, plain, send
from tests.acceptance.conftest import Environment, produce, query, until
from tests.acceptance.member import a_member, eventually
from tests.acceptance.offsets_command import command
from tests.acceptance.readings import meter_messages
from tests.acceptance.series import STORED
from tests.record_batches import Sent

Start = Callable[..., Replica]

MIB = 1 << 20
ZSTD = 4
STOPPED = "telemetry_stopped_partitions{"
# With an idle replica's 83 MiB, and what one batch at the limit may take.
MEMORY_BOUND_MIB = 640


def padded(readings: list[bytes], size: int) -> list[Sent]:
    """Return the readings with a field of one letter over and over, each of this many bytes."""
    return [
        plain(value[:-1] + b',"padding":"%b"}' % (b"x" * (size - len(value) - 13)))
        for value in readings
    ]


def offsets(environment: Environment, *arguments: str) -> str:
    ended = command(environment, *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


def peak_mib(replica: Replica) -> int:
    """Return the most memory that the process ever had."""
    text = Path(f"/proc/{replica.process.pid}/status").read_text()
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", text)
    return int(peak) >> 10


def test_a_batch_that_is_too_large_stops_only_its_partition_and_can_be_skipped(
    start: Start, environment: Environment
) -> None:
    replica = start()
    before, after = meters(2, name="before"), meters(3, name="after")
    huge = padded(meters(1_200, name="huge"), 60_000)
    assert sum(len(value or b"") for _, value, _ in huge) > 64 * MIB
    sent = send(environment, [[plain(one) for one in before], huge], codec=ZSTD)
    sent += send(environment, [[plain(one) for one in after]])
    others = [plain(value, key) for key, value in meter_messages(100)]
    send(environment, [others], partition=1)
    told = replica.wait_for("partition_stopped")
    end = sent[2] + len(huge)
    assert (told["partition"], told["next_offset"], told["batch_end"]) == (0, sent[2], end)
    assert told["reason"] == "it unpacks to over 67,108,864 bytes"
    until(lambda: replica.metric(STORED) == 102, what="all others are stored")
    assert replica.metric(STOPPED) == 1
    assert peak_mib(replica) < MEMORY_BOUND_MIB
    shown = offsets(environment, "show", "--topic", METER.topic)
    assert re.search(rf"telemetry.meter +0 +{sent[2]} .*cannot be read", shown)
    assert shown.count("cannot be read") == 1
    options = f"--topic telemetry.meter --partition 0 --to {end}"
    assert f"unpacks to over 67,108,864 bytes; the batch ends before {end}, and" in shown
    assert options in shown
    assert replica.stop() == 1
    offsets(environment, "reset", *options.split(), "--yes")
    again = start()
    until(lambda: again.metric(STORED) == 3, what="what follows is stored")
    assert again.metric(STOPPED) == 0
    assert again.stop() == 0


def test_large_batches_up_to_the_limit_are_stored_of_every_partition(
    start: Start, environment: Environment
) -> None:
    limit = str(4 * MIB)
    replica = start(KAFKA_UNPACKED_BATCH_MAX_BYTES=limit, BUFFER_MAX_BYTES=limit)
    for partition in range(6):
        large = padded(meters(60, name=f"large-{partition}"), 60_000)
        send(environment, [large], partition=partition, codec=ZSTD)
    until(lambda: replica.metric(STORED) == 6 * 60, what="all stored")
    assert replica.metric(STOPPED) == 0
    assert replica.stop() == 0


@pytest.mark.parametrize("times", [1, 2])
async def test_a_batch_that_arrives_damaged_is_fetched_once_more_and_then_stops_its_partition(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The network may have done it, or a broker's disk; what is read again is then as it was."""
    produce(environment, METER.topic, list(meter_messages(1)))
    damaged = 0

    def batches(data: bytes) -> Any:
        nonlocal damaged
        if not data or damaged == times:
            return Batches(data)
        damaged += 1
        return Batches(data[:-1] + bytes([data[-1] ^ 1]))

    install()  # else the member would, over what is set here
    monkeypatch.setattr(fetcher, "MemoryRecords", batches)
    async with a_member(environment) as member:
        if times == 1:
            stored = "SELECT count(*) FROM meter_history"
            await eventually(lambda: query(environment, stored) == [(1,)], what="it is stored")
        else:
            await eventually(lambda: bool(member.source.stopped), what="its partition is stopped")
        assert len(member.source.stopped) == times - 1
