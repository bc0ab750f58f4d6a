"""Send a job from start to end, for `run` and `replay`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console

from producer_sim.commands.display import Display
from producer_sim.commands.terminal import LOST, WRONG_USE, say, settings_of
from producer_sim.devices.records import Records
from producer_sim.ledger.book import Book, Unrecorded
from producer_sim.ledger.ledger import Ledger, LedgerError
from producer_sim.ledger.reports import Tally
from producer_sim.sending.pace import Pace, Policy
from producer_sim.sending.sender import Sender, SenderError
from producer_sim.sending.stop import Stop
from producer_sim.sending.transmit import create_missing_topics, system_clock, transmit
from runtime.kafka.settings import KafkaSettings
from runtime.settings import SettingsError
from runtime.terminal import Terminal, fail
from telemetry.timestamps import format_timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Records to send. `metadata` goes into the ledger; `figures` are counts, known at the end.

    `keep` is called once everything was sent and acknowledged: it writes more files into the
    ledger's directory and returns more metadata.
    """

    chunks: Iterable[Records]
    policy: Policy
    start_us: int
    total: int | None
    metadata: dict[str, Any]
    figures: Callable[[], dict[str, int]]
    keep: Callable[[Path], dict[str, object]] | None = None


def send_job(job: Job, ledger: Path | None, *, no_ledger: bool, quiet: bool) -> Tally:
    """Send a job as the options say, and return the tally; a failure ends the command."""
    if ledger is not None and no_ledger:
        fail("--ledger and --no-ledger exclude each other", code=WRONG_USE)
    kafka = settings_of(KafkaSettings)
    directory = None if no_ledger else ledger or default_ledger(system_clock())
    try:
        tally = send(job, kafka=kafka, ledger=directory, console=Terminal(), quiet=quiet)
    except (LedgerError, SettingsError) as error:
        fail(str(error), code=WRONG_USE)
    except SenderError as error:
        fail(str(error), code=LOST)
    if not tally.sent:
        counted = [
            f"{count:,} {what.replace('_', ' ')}" for what, count in job.figures().items() if count
        ]
        say(", ".join(["nothing was sent", *counted]))
    return tally


def default_ledger(now_us: int) -> Path:
    """Return `ledger/<time>` for this time."""
    return Path("ledger") / (format_timestamp(now_us)[:23].replace(":", "-") + "Z")


def send(
    job: Job,
    *,
    kafka: KafkaSettings,
    ledger: Path | None,
    console: Console,
    quiet: bool,
) -> Tally:
    """Send a job's records; return once each has its report or is given up.

    Raises LedgerError before anything is sent, SenderError if the producer cannot go on.
    """
    now = system_clock()
    metadata = job.metadata | {"version": _version(), "started_at": format_timestamp(now)}
    book: Book = Ledger(directory=ledger, metadata=metadata, now_us=now) if ledger else Unrecorded()
    display = Display(console=console, tally=book.tally, total=job.total, quiet=quiet)
    with Stop() as stop:
        try:
            sender = _connected(kafka, book, stop)
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


def _connected(kafka: KafkaSettings, book: Book, stop: Stop) -> Sender | None:
    """Wait for the broker and create the topics; return None if stopped meanwhile."""
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
