"""`make bench-memory`: the most memory that one replica takes, beside what its settings promise.

Backlogs of small messages, of large ones, of large ones that compression makes small on the wire,
of large ones that are all dead letters, and of batches that hold as much as may be unpacked of one,
with one behind each that holds more. The settings are the environment's, as for any
replica, so that one can see what they do: `BUFFER_MAX_BYTES=16777216 make bench-memory`. The bound
is derived in docs/performance.md.
"""

from collections.abc import Callable
from typing import Annotated

import typer
from rich import box
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import history
from benchmarks.backlog import Backlog, preload, read_ends
from benchmarks.drain import Drain, console, drain
from benchmarks.large import RECORD_BYTES, preload_large, preload_packed
from benchmarks.servers import servers
from consumer.kafka.batches import HANDED_OUT_BYTES
from consumer.kafka.parts import PART_BYTES
from consumer.kafka.records import RECORD_OVERHEAD_BYTES
from consumer.settings import SMALL_BYTES, FlushSettings, SourceSettings
from deploy.local.stack import Addresses
from runtime.settings import SettingsError, load

ROW_BYTES = 1_000
"""What one row of a flush takes at most: decoded, by column and as COPY data."""
TIMES_IN_STATEMENT = 3
"""How often psycopg and libpq hold the bytes of a batch whose dead letters they send."""
HEADER_GROWTH = 50
"""A header of two bytes takes a hundred once it is read."""
MIB = 1 << 20


def main(
    messages: Annotated[
        int, typer.Option(min=20_000, help="messages of the small backlog")
    ] = 10_000_000,
    large: Annotated[
        int, typer.Option(min=1_000, help="messages of 60 KiB in each other backlog")
    ] = 20_000,
    record: Annotated[
        bool, typer.Option("--record", help="add the figures to docs/benchmarks/memory.jsonl")
    ] = False,
) -> None:
    """Drain each backlog with one replica; print its peak memory and the bound beside it."""
    try:
        source, flush = load(SourceSettings), load(FlushSettings)
    except SettingsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    with servers(purge=True) as addresses:
        loads: dict[str, Callable[[], Backlog]] = {
            "small": lambda: preload(addresses, messages, "--no-ledger", "--quiet"),
            "60 KiB": lambda: preload_large(addresses, large, compression="none"),
            "60 KiB, lz4": lambda: preload_large(addresses, large, compression="lz4"),
            "60 KiB, zstd": lambda: preload_large(addresses, large, compression="zstd"),
            "60 KiB, poison": lambda: preload_large(
                addresses, large, compression="none", valid=False
            ),
            "packed, 60 KiB": lambda: preload_packed(addresses, limit=limit),
            "packed, one value": lambda: preload_packed(
                addresses, limit=limit, value_bytes=limit - RECORD_BYTES
            ),
        }
        limit = source.kafka_unpacked_batch_max_bytes
        ends = read_ends(addresses)
        idle = drain(addresses, Backlog(ends, ends)).peak
        drains = {name: _drain(addresses, name, make()) for name, make in loads.items()}
        partitions = len(ends)
    bound = idle + _bound(source, flush, partitions)
    packed = bound + _bound_of_large_batches(limit, partitions)
    bounds = {name: packed if name.startswith("packed") else bound for name in drains}
    _report(drains, idle=idle, bounds=bounds)
    if record:
        peaks = {name: {"messages": one.messages, "peak": one.peak} for name, one in drains.items()}
        history.record(
            "memory", {"unit": "bytes", "idle": idle, "bound": packed, "backlogs": peaks}
        )


def _bound(source: SourceSettings, flush: FlushSettings, partitions: int) -> int:
    """Return the bytes that the settings allow beyond those of an idle replica."""
    fetched = partitions * source.kafka_partition_fetch_max_bytes
    unpacked = partitions * SMALL_BYTES
    handed_out = partitions * HANDED_OUT_BYTES
    rows = flush.batch_max_rows + HANDED_OUT_BYTES // RECORD_OVERHEAD_BYTES
    made = max(rows * ROW_BYTES, TIMES_IN_STATEMENT * flush.batch_max_bytes)
    return (
        flush.buffer_max_bytes  # records that wait or are being flushed
        + fetched  # what aiokafka holds of each partition, as it came
        + unpacked  # and one small batch of each, unpacked
        + handed_out  # the records of it that are handed out when the buffer is not quite full
        + 2 * source.kafka_fetch_max_bytes  # an answer while it is taken apart
        + flush.flush_connections * made  # what flushes make of batches: of rows, or dead letters
    )


def _bound_of_large_batches(limit: int, partitions: int) -> int:
    """Return what large batches add: one is unpacked at a time, and may be a single message.

    It is unpacked, its message is handed out, and the statement that stores the letter is made.
    A part of each partition that is nothing but headers may have been read.
    """
    return limit + limit + TIMES_IN_STATEMENT * limit + partitions * PART_BYTES * HEADER_GROWTH


def _drain(addresses: Addresses, name: str, backlog: Backlog) -> Drain:
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=len(backlog))
        return drain(
            addresses,
            backlog,
            on_look=lambda left: progress.update(task, completed=len(backlog) - left),
        )


def _report(drains: dict[str, Drain], *, idle: int, bounds: dict[str, int]) -> None:
    table = Table(title=f"one replica; idle: {idle / MIB:,.0f} MiB", box=box.SIMPLE_HEAD)
    for header in ("backlog", "messages", "messages/s", "peak, MiB", "bound, MiB", ""):
        table.add_column(header, justify="left" if header in ("backlog", "") else "right")
    for name, one in drains.items():
        bound = bounds[name]
        table.add_row(
            name,
            f"{one.messages:,}",
            f"{one.rate:,.0f}",
            f"{one.peak / MIB:,.0f}",
            f"{bound / MIB:,.0f}",
            "within" if one.peak <= bound else f"over by {(one.peak - bound) / MIB:,.0f}",
        )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
