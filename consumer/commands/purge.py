"""`python -m consumer dead-letters purge`: old letters are deleted for good."""

import sys
from dataclasses import replace
from typing import Annotated

import typer

from consumer.commands.confirmation import YesOption, confirm, need_an_answer
from consumer.commands.interruption import stopped_by_signal
from consumer.commands.letters import (
    ReasonOption,
    TopicOption,
    choice_of,
    none_of,
    print_counts,
)
from consumer.commands.options import time_ago
from consumer.commands.servers import with_database
from consumer.commands.terminal import out
from consumer.dead_letters import table as dead_letters
from consumer.dead_letters.table import Summary
from consumer.postgres.connection import Connection
from runtime.terminal import errors


def purge(
    older_than: Annotated[str, typer.Option(help="least age, such as 30d, 12h or 90m")],
    reason: ReasonOption = None,
    topic: TopicOption = None,
    *,
    redriven_only: Annotated[
        bool, typer.Option("--redriven-only", help="only what has been redriven")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="count, and delete nothing")] = False,
    yes: YesOption = False,
) -> None:
    """Delete old dead letters for good."""
    choice = replace(
        choice_of(reason=reason, topic=topic),
        until=time_ago("--older-than", older_than),
        redriven=True if redriven_only else None,
    )
    need_an_answer(yes=yes, dry_run=dry_run)

    async def look(connection: Connection) -> tuple[list[Summary], str]:
        counts = await dead_letters.count_dead_letters(connection, choice)
        return counts, "" if counts else await none_of(connection, choice)

    counts, none = with_database(look)
    total = sum(count.messages for count in counts)
    if counts:
        print_counts(counts)
    else:
        errors.print(none)
    if dry_run:
        out.print(f"would delete {total:,}")
        return
    confirm(f"delete {total:,} dead letters for good?", yes=yes, otherwise="nothing was deleted")
    deleted = 0

    async def work(connection: Connection) -> int:
        nonlocal deleted
        with stopped_by_signal() as stop:
            while not stop.event.is_set():
                page = await dead_letters.purge_dead_letters(connection, choice)
                deleted += page
                if page == 0:
                    break
            return stop.code

    try:
        code = with_database(work)
    finally:
        out.print(f"deleted {deleted:,}")
    sys.exit(code)
