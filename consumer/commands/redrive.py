"""`python -m consumer dead-letters redrive`: letters go back to their topic."""

import logging
import sys
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from consumer.commands.interruption import stopped_by_signal
from consumer.commands.letters import choosing, none_of, place, print_counts
from consumer.commands.progress import progress
from consumer.commands.servers import with_database
from consumer.commands.terminal import out
from consumer.dead_letters import table as dead_letters
from consumer.dead_letters.delivery import Tally
from consumer.dead_letters.redrive import Redrive
from consumer.dead_letters.table import Choice
from consumer.postgres.connection import Connection
from runtime.kafka.settings import KafkaSettings
from runtime.settings import load
from runtime.terminal import errors, fail


@choosing
def redrive(
    choice: Choice,
    *,
    again: Annotated[
        bool, typer.Option("--again", help="also what has been redriven before")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="count, and send nothing")] = False,
    rate: Annotated[
        int | None,
        typer.Option(min=1, max=1_000_000, help="messages a second at most [default: no limit]"),
    ] = None,
) -> None:
    """Send dead letters to their topic again: bytes, key and headers as they came.

    Letters that are not whole are left out, and counted. A letter is marked as redriven once the
    broker has acknowledged it, and is left out from then on. Safe to interrupt and to repeat; two
    redrives at once share the work. What is still bad becomes a new dead letter at its new offset.
    """
    kafka = load(KafkaSettings)
    # aiokafka would log what keeps it from sending, which the command says itself.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    tally = Tally()

    async def work(connection: Connection) -> int:
        counts = await dead_letters.count_dead_letters(connection, choice)
        total = sum(count.messages for count in counts)
        if not counts:
            errors.print(await none_of(connection, choice))
        known = 0 if again else sum(count.redriven for count in counts)
        cut = sum(count.cut for count in counts)
        if dry_run:
            if counts:
                print_counts(counts)
            left_out = f"{known:,} already redriven" + (f", {cut:,} not whole" if cut else "")
            out.print(f"would send {total - known - cut:,}, leave out {left_out}")
            return 0
        with stopped_by_signal() as stop, progress(total - known) as show_progress:
            await Redrive(
                connection=connection,
                kafka=kafka,
                choice=choice,
                again=again,
                rate=rate,
                stopping=stop.event,
                tally=tally,
            ).run(on_page=lambda: show_progress(tally.seen))
        tally.left_out["already redriven; --again sends it once more"] += known
        if not stop.event.is_set():
            # Counted at the beginning and not met: another redrive has sent them, or they are gone.
            elsewhere = max(0, total - tally.seen)
            tally.left_out["held, sent or removed by another command meanwhile"] += elsewhere
        return stop.code

    code = 1
    try:
        code = with_database(work)
    except KafkaError as error:
        fail(f"Kafka: {' '.join(str(error).split())}", code=1)
    finally:
        if not dry_run:
            _print_tally(tally, interrupted=code > 1)
    sys.exit(code)


def _print_tally(tally: Tally, *, interrupted: bool) -> None:
    word = "interrupted: " if interrupted else ""
    out.print(f"{word}sent {tally.sent:,}, left out {tally.left_out.total():,}")
    for cause, count in tally.left_out.most_common():
        if count:
            example = tally.examples.get(cause)
            first = f" (first: {place(example)})" if example else ""
            out.print(f"left out {count:,}: {cause}{first}")
