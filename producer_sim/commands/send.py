"""One sending from its first to its last line, for `run` and `replay` alike."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console

from producer_sim.commands.display import Display
from producer_sim.devices.records import Records
from producer_sim.ledger.ledger import Book, Ledger, Unrecorded
from producer_sim.ledger.reports import Tally
from producer_sim.sending.pace import Pace, Policy
from producer_sim.sending.sender import Sender
from producer_sim.sending.stop import Stop
from producer_sim.sending.transmit import create_missing_topics, system_clock, transmit
from runtime.kafka.settings import KafkaSettings
from telemetry.timestamps import format_timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Records to send. `metadata` goes into the ledger, `figures` are known at the end.

    `keep` puts more files into the ledger's directory, where all was sent and acknowledged, and
    returns what else the ledger says then.
    """

    chunks: Iterable[Records]
    policy: Policy
    start_us: int
    total: int | None
    metadata: dict[str, Any]
    figures: Callable[[], dict[str, int]]
    keep: Callable[[Path], dict[str, object]] | None = None


def default_ledger(now_us: int) -> Path:
    """Return `ledger/<start time>`."""
    return Path("ledger") / (format_timestamp(now_us)[:23].replace(":", "-") + "Z")


def send(
    job: Job,
    *,
    kafka: KafkaSettings,
    ledger: Path | None,
    console: Console,
    quiet: bool,
    say: Callable[[str], None],
) -> Tally:
    """Send a job's records; returns once each has its report or is given up.

    Raises LedgerError before anything is sent, SenderError where the producer cannot go on.
    """
    now = system_clock()
    metadata = job.metadata | {"version": _version(), "started_at": format_timestamp(now)}
    book: Book = Ledger(directory=ledger, metadata=metadata, now_us=now) if ledger else Unrecorded()
    display = Display(console=console, tally=book.tally, total=job.total, quiet=quiet)
    with Stop() as stop:
        try:
            sender = _connected(kafka, book, stop, say)
            if sender is not None:
                pace = Pace(policy=job.policy, start_us=job.start_us, now_us=system_clock())
                with display:
                    transmit(
                        job.chunks,
                        sender=sender,
                        book=book,
                        pace=pace,
                        stop=stop,
                        on_progress=display.show,
                    )
                if job.keep and ledger and book.tally.complete and not stop.requested:
                    book.note(**job.keep(ledger))
        finally:
            finished_at = format_timestamp(system_clock())
            book.note(finished_at=finished_at, stopped=stop.requested, **job.figures())
            book.close()
    display.conclude(**job.figures(), ledger=ledger or "none")
    return book.tally


def _connected(
    kafka: KafkaSettings, book: Book, stop: Stop, say: Callable[[str], None]
) -> Sender | None:
    """Wait for the broker and the topics; None if stopped meanwhile."""
    if not create_missing_topics(kafka, stop, say):
        return None
    sender = Sender(kafka=kafka, book=book, stop=stop, say=say)
    if not sender.connect():
        return None
    book.note(partitions=sender.partition_counts)
    return sender


def _version() -> str:
    try:
        return version("wattline")
    except PackageNotFoundError:  # run from a checkout
        return "unreleased"
