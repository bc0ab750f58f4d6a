"""From sent to visible: how long a message takes into the tables, at a steady load.

One replica with the environment's settings. An onlooker reads the stored offsets every few
milliseconds; afterwards the messages' own times are read back from Kafka. A message's latency ends
with the first look that saw it stored, and begins with the time that its producer gave it, in
whole milliseconds of the same clock.
"""

import asyncio
import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import psycopg
import typer
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.backlog import Backlog, read_ends
from benchmarks.load import steady_load
from benchmarks.servers import new_database, servers
from deploy.local.stack import Addresses
from deploy.replica import ROOT, Replica, ReplicaError
from deploy.stored_offsets import Offsets, Place, stored_offsets
from runtime.kafka.settings import KafkaSettings

RATES = (333, 5_000, 20_000)
SECONDS = 20
WARM_UP_S = 3
"""The first seconds, which are left out: the simulator begins with what is due at once."""
PERCENTILES = (50, 99, 99.9)
LOOK_S = 0.005
SILENCE_S = 60.0

console = Console(highlight=False)

"""Topic and partition."""
Numbers = npt.NDArray[np.int64]
Milliseconds = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Latency:
    """What became of one rate: messages measured, messages/s as sent, and percentiles in ms."""

    rate: float
    messages: int
    sent_rate: float
    percentiles: dict[str, float]


@dataclass(frozen=True, slots=True)
class Looks:
    """When the stored offset of a place had moved, in ms since 1970, and how far, both rising."""

    at: list[float] = field(default_factory=list)
    next_offsets: list[int] = field(default_factory=list)

    def first_that_saw(self, offsets: Numbers) -> Milliseconds:
        """Return the times of the first looks that saw these offsets stored; all must be seen."""
        at: Milliseconds = np.array(self.at)
        return at[np.searchsorted(np.array(self.next_offsets), offsets, side="right")]


@dataclass(frozen=True, slots=True)
class Sent:
    """The messages of one place: offsets, and the times of sending in ms since 1970."""

    offsets: Numbers
    times: Numbers


def main(
    rate: Annotated[
        list[int] | None, typer.Option(min=10, help="messages/s; may be repeated")
    ] = None,
    seconds: Annotated[
        int, typer.Option(min=1, help="seconds that each rate is measured for")
    ] = SECONDS,
) -> None:
    """Measure and print the latency at each rate (by default 333, 5,000 and 20,000)."""
    with servers() as addresses:
        report(measure_all(addresses, rate or RATES, seconds=seconds, onto=console), onto=console)


def measure_all(
    addresses: Addresses, rates: Sequence[int], *, seconds: int, onto: Console
) -> list[Latency]:
    """Measure each rate with a progress bar; raises as `measure` does."""
    bar = track(rates, "latency", console=onto)
    return [measure(addresses, rate, seconds=seconds) for rate in bar]


def measure(addresses: Addresses, rate: float, *, seconds: int) -> Latency:
    """Let the simulator send at this rate, and one replica store it in a new database.

    Raises ReplicaError, CalledProcessError, psycopg.Error.
    """
    group = f"latency-{uuid.uuid4().hex[:8]}"
    with ExitStack() as ending:
        folder = ending.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        url = ending.enter_context(new_database(addresses))
        onlooker = ending.enter_context(psycopg.connect(url, autocommit=True))
        firsts = read_ends(addresses)
        Backlog(firsts, firsts).give_to(group, onlooker)
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": addresses.kafka_bootstrap_servers,
            "DATABASE_URL": url,
            "CONSUMER_GROUP": group,
        }
        replica = Replica(environment, log_file=Path(folder) / "replica.log")
        ending.callback(replica.stop)
        replica.wait_for("partitions_opened")
        simulator = subprocess.Popen(
            steady_load(rate, "--duration", f"{WARM_UP_S + seconds}s"),
            cwd=ROOT,
            env=os.environ | environment,
        )
        ending.callback(simulator.wait)
        ending.callback(simulator.terminate)
        looks, ends = _look(addresses, simulator, replica, lambda: stored_offsets(onlooker, group))
    sent = asyncio.run(_read_back(addresses, Backlog(firsts, ends)))
    return _latency(rate, looks, sent)


def _look(
    addresses: Addresses,
    simulator: subprocess.Popen[bytes],
    replica: Replica,
    stored: Callable[[], Offsets],
) -> tuple[dict[Place, Looks], Offsets]:
    """Look until all that the simulator has sent is stored; return the looks and the ends.

    Raises CalledProcessError, ReplicaError.
    """
    before = stored()
    looks: dict[Place, Looks] = {place: Looks() for place in before}
    moved = time.monotonic()
    with ThreadPoolExecutor(1) as aside:
        ends = None  # asked for on a thread, so that no look is late
        while ends is None or not ends.done() or before != ends.result():
            time.sleep(LOOK_S)
            now, at = stored(), time.time() * 1_000
            for place, offset in now.items():
                if offset != before[place]:
                    looks[place].at.append(at)
                    looks[place].next_offsets.append(offset)
                    moved = time.monotonic()
            before = now
            if ends is None and simulator.poll() is not None:
                if simulator.returncode:
                    raise subprocess.CalledProcessError(simulator.returncode, "producer_sim run")
                ends = aside.submit(read_ends, addresses)
            if replica.process.poll() is not None or time.monotonic() - moved > SILENCE_S:
                raise ReplicaError("the replica has ended, or stores nothing any more")
    return looks, before


async def _read_back(addresses: Addresses, backlog: Backlog) -> dict[Place, Sent]:
    """Return what is in Kafka of the backlog, by place; places without messages are left out."""
    kafka = KafkaSettings(bootstrap_servers=addresses.kafka_bootstrap_servers)
    read: dict[Place, list[tuple[int, int]]] = {}
    consumer = AIOKafkaConsumer(**kafka.aiokafka(), enable_auto_commit=False)
    await consumer.start()
    try:
        open_places = {
            TopicPartition(*place): end
            for place, end in backlog.ends.items()
            if end > backlog.firsts[place]
        }
        consumer.assign(list(open_places))
        for place in open_places:
            consumer.seek(place, backlog.firsts[place.topic, place.partition])
        while open_places:
            for place, records in (await consumer.getmany(timeout_ms=1_000)).items():
                kept = read.setdefault((place.topic, place.partition), [])
                kept += [(one.offset, one.timestamp) for one in records]
                if place in open_places and records[-1].offset + 1 >= open_places[place]:
                    del open_places[place]
                    consumer.pause(place)
    finally:
        await consumer.stop()
    return {place: Sent(*np.array(rows, dtype=np.int64).T) for place, rows in read.items()}


def _latency(rate: float, looks: dict[Place, Looks], sent: dict[Place, Sent]) -> Latency:
    """Return the figures of what was sent after the warm-up."""
    begun = min(int(of_one.times.min()) for of_one in sent.values()) + WARM_UP_S * 1_000
    times = np.concatenate([of_one.times for of_one in sent.values()])
    took = latencies(looks, sent)[times >= begun]
    lasted = (int(times.max()) - begun) / 1_000
    return Latency(
        rate=rate,
        messages=len(took),
        sent_rate=len(took) / lasted,
        percentiles={f"p{share:g}": float(np.percentile(took, share)) for share in PERCENTILES},
    )


def latencies(looks: dict[Place, Looks], sent: dict[Place, Sent]) -> Milliseconds:
    """Return the milliseconds from sent to seen of every message, place by place."""
    seen = [looks[place].first_that_saw(of_one.offsets) for place, of_one in sent.items()]
    took: Milliseconds = np.concatenate(seen) - np.concatenate([one.times for one in sent.values()])
    return took


def report(latencies: Iterable[Latency], *, onto: Console) -> None:
    """Print a row a rate."""
    table = Table(title="from sent to visible", box=box.SIMPLE_HEAD)
    names = [f"p{share:g}" for share in PERCENTILES]
    for header in ("messages/s", "sent, messages/s", "messages", *(f"{n}, ms" for n in names)):
        table.add_column(header, justify="right")
    for one in latencies:
        table.add_row(
            f"{one.rate:,}",
            f"{one.sent_rate:,.0f}",
            f"{one.messages:,}",
            *(f"{one.percentiles[name]:,.0f}" for name in names),
        )
    onto.print(table)


def recorded(latencies: Iterable[Latency]) -> dict[str, Any]:
    """Return the percentiles in ms by rate, as they go into the history."""
    return {
        f"{one.rate:g}": {name: round(value, 1) for name, value in one.percentiles.items()}
        for one in latencies
    }


if __name__ == "__main__":
    typer.run(main)
