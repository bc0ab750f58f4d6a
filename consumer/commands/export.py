"""`python -m consumer dead-letters export`: letters as JSON lines."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from consumer.commands.letters import choosing, none_of
from consumer.commands.servers import with_database
from consumer.commands.terminal import out
from consumer.dead_letters.table import Choice, read_dead_letters
from consumer.postgres.connection import Connection
from runtime.terminal import errors, fail


@choosing
def export(
    choice: Choice,
    *,
    file: Annotated[
        Path | None, typer.Option(dir_okay=False, help="file to write [default: standard output]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace the file")] = False,
) -> None:
    """Write dead letters as JSON lines, one a letter; bytes are in base64.

    A file is written whole or not at all.
    """

    def export_to(target: TextIO) -> int:
        async def work(connection: Connection) -> int:
            count = 0
            async with aclosing(read_dead_letters(connection, choice)) as letters:
                async for letter in letters:
                    target.write(json.dumps(letter.exported(choice.consumer_group)) + "\n")
                    count += 1
            if not count:
                none = await none_of(connection, choice)
                errors.print(none)
            return count

        return with_database(work)

    if file is None:
        export_to(sys.stdout)
        return
    if file.exists() and not force:
        fail(f"--file: {file} exists; --force replaces it", code=2)
    try:
        with _written_whole(file, force=force) as target:
            count = export_to(target)
    except OSError as error:
        fail(f"--file: {file}: {error.strerror or error}", code=1)
    out.print(f"{count:,} dead letters written to {file}")


@contextmanager
def _written_whole(file: Path, *, force: bool) -> Iterator[TextIO]:
    """Write under another name in the same folder, and rename it at the end."""
    number, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    written = Path(name)
    with open(number, "w", encoding="utf-8") as target:  # noqa: PTH123  it is open already
        try:
            yield target
            target.flush()
            os.fsync(target.fileno())
            if force:
                written.replace(file)
            else:
                file.hardlink_to(written)  # fails if the name was taken meanwhile
        finally:
            written.unlink(missing_ok=True)
