"""Deliberate defects, which the scenarios have to catch: they show that the bench can fail.

    python -m tests.faults.mutants              every mutant, until a scenario has caught it

Each is applied to a copy of the code that only the replicas run; the simulator, the ledger and
the checks stay our own. A mutant that no scenario catches is a defect of the bench.
"""

import secrets
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from deploy.replica import ROOT
from tests.faults import scenarios  # noqa: F401  registers them
from tests.faults.bench import run_scenario
from tests.faults.scenario import SCENARIOS
from tests.faults.servers import Servers

COPIED = (
    *("consumer", "deploy", "energy", "runtime", "telemetry", "tests"),
    *("schema.sql", "schema"),
)

console = Console(highlight=False, width=160 if not sys.stdout.isatty() else None)


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One text of one file replaced; `caught_by` are scenarios, the likeliest first."""

    name: str
    file: str
    before: str
    after: str
    caught_by: tuple[str, ...]


MUTANTS = [
    Mutant(
        name="offset before the rows, in a transaction of its own",
        file="consumer/flush/sink.py",
        before="            async with connection.transaction():\n"
        "                # 1. Advance the offset from where this replica believes it to be.\n"
        "                transaction_id = await self._advance_offset(connection, flush)\n",
        after="            async with connection.transaction():\n"
        "                transaction_id = await self._advance_offset(connection, flush)\n"
        "            async with connection.transaction():\n",
        caught_by=("killed_at_every_point",),
    ),
    Mutant(
        name="no fence",
        file="consumer/postgres/sql/advance_offset.sql",
        before="  AND next_offset = %(believed)s\n",
        after="  AND %(believed)s IS NOT NULL\n",
        caught_by=("suspended_at_a_point",),
    ),
    Mutant(
        name="a swallowed error",
        file="consumer/flush/sink.py",
        before="flush, self._write_or_bisect)\n            raise\n",
        after="flush, self._write_or_bisect)\n            return Outcome()\n",
        caught_by=("every_retryable_error",),
    ),
    Mutant(
        name="last write wins in current state",
        file="consumer/postgres/sql/upsert_current_state.sql",
        before="WHERE known.recorded_at < excluded.recorded_at\n",
        after="",
        caught_by=("killed_at_random",),
    ),
    Mutant(
        name="one row in a thousand dropped",
        file="consumer/flush/history.py",
        before="        leads = columns.leads()\n",
        after="        leads = columns.leads()\n"
        "        leads[columns.positions % 1000 == 77] = False\n",
        caught_by=("killed_at_random",),
    ),
    Mutant(
        name="dead letters after the transaction",
        file="consumer/flush/sink.py",
        before="                written.cut = await self._insert_dead_letters(\n"
        "                    connection, flush, written.dead_letters\n"
        "                )\n"
        "                outcome, done = written, time.perf_counter()\n"
        "            # 5. COMMIT, on leaving the block.\n",
        after="                outcome, done = written, time.perf_counter()\n"
        "            await self._insert_dead_letters(connection, flush, written.dead_letters)\n",
        caught_by=("killed_at_every_point",),
    ),
    Mutant(
        name="a retryable error taken for the data's",
        file="consumer/postgres/failures.py",
        before='_DATA_CLASSES = ("22", "23")',
        after='_DATA_CLASSES = ("22", "23", "40", "55", "57")',
        caught_by=("every_retryable_error",),
    ),
    Mutant(
        name="float32 stored",
        file="consumer/flush/columns.py",
        before="measures.T[order]",
        after="measures.T[order].astype(np.float32).astype(np.float64)",
        caught_by=("killed_at_random",),
    ),
    Mutant(
        name="Kafka's offset committed before the database's",
        file="consumer/pipeline.py",
        before="            flush = flight.decoded = ",
        after="            await self._source.commit({owned.partition: flight.batch.next_offset})\n"
        "            flush = flight.decoded = ",
        caught_by=("killed_at_random", "killed_at_every_point"),
    ),
    Mutant(
        name="a batch dropped when the database refuses it",
        file="consumer/pipeline.py",
        before="            self._source.open(owned.partition, owned.stored)\n",
        after="            pass\n",
        caught_by=("statement_refused",),
    ),
    Mutant(
        name="a copy stored twice counts as a conflict",
        file="consumer/flush/history.py",
        before="is_stored[rows[place]], is_same[rows[place]] = True, same\n",
        after="is_stored[rows[place]], is_same[rows[place]] = True, not same\n",
        caught_by=("killed_at_random",),
    ),
    Mutant(
        name="late readings beside a copy dropped",
        file="consumer/flush/history.py",
        before="columns.take(~is_stored))\n",
        after="columns.take(~suspected))\n",
        caught_by=("copies_and_disorder",),
    ),
    Mutant(
        name="a suspended flush is waited for",
        file="consumer/postgres/sql/end_suspended_flushes.sql",
        before="interval '2 seconds'",
        after="interval '2 days'",
        caught_by=("suspended_at_a_point",),
    ),
    Mutant(
        name="an offset that does not fit is moved silently",
        file="consumer/opening.py",
        before="            if not first <= offset <= last:\n"
        "                self._source.stop("
        "partition, stored=offset, earliest=first, end=last)\n"
        "            elif",
        after="            offset = min(max(offset, first), last)\n            if",
        caught_by=("offset_does_not_fit",),
    ),
]


def apply(mutant: Mutant, code: Path) -> None:
    """Change the copy; raises LookupError unless the text occurs exactly once."""
    file = code / mutant.file
    text = file.read_text()
    if text.count(mutant.before) != 1:
        raise LookupError(f"{mutant.name}: {mutant.file} does not hold the text exactly once")
    file.write_text(text.replace(mutant.before, mutant.after))


def copy_code(folder: Path) -> Path:
    """Copy what replicas run."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    return folder


def main(
    only: Annotated[str, typer.Option(help="mutants whose name holds this text")] = "",
    seed: Annotated[int | None, typer.Option(min=0, help="repeats the choices of a run")] = None,
) -> None:
    """Apply each defect to a copy of the code, and expect a violation.

    Exit codes: 0 all were caught, 1 one was not.
    """
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    table = Table(box=box.SIMPLE_HEAD)
    for header in ("mutant", "caught by", "violations", "took, s"):
        table.add_column(header)
    missed = 0
    with (
        tempfile.TemporaryDirectory(prefix="wattline-mutants-") as folder,
        Servers(Path(folder)) as servers,
    ):
        for number, mutant in enumerate(MUTANTS):
            if only not in mutant.name:
                continue
            begun = time.monotonic()
            code = copy_code(Path(folder) / f"code-{number}")
            apply(mutant, code)
            with console.status(mutant.name):
                name, violations = _hunt(mutant, servers, code=code, seed=seed)
            console.print(f"{mutant.name}: {name or 'MISSED'}", markup=False)
            for line in violations[:2]:
                console.print(f"  {line}", markup=False)
            missed += not violations
            seconds = f"{time.monotonic() - begun:.0f}"
            table.add_row(mutant.name, name or "MISSED", str(len(violations)), seconds)
    console.print(table)
    raise typer.Exit(1 if missed else 0)


def _hunt(mutant: Mutant, servers: Servers, *, code: Path, seed: int) -> tuple[str, list[str]]:
    """Return the scenario that found a violation, and what it found."""
    for name in mutant.caught_by:
        scenario = SCENARIOS[name]
        cycles = max(1, min(scenario.short or scenario.long, 3))
        result = run_scenario(scenario, servers, cycles=cycles, seed=seed, code=code)
        if result.violations:
            return name, result.violations
    return "", []


if __name__ == "__main__":
    typer.run(main)
