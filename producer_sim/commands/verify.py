"""`verify`: compare what was sent with what is stored and answered."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from producer_sim.commands.display import show_report
from producer_sim.commands.terminal import LOST, WRONG_USE, settings_of
from producer_sim.ledger.ledger import EmptyLedgerError, LedgerError
from producer_sim.oracle.ask import ask
from producer_sim.oracle.snapshot import SnapshotError
from producer_sim.oracle.truth import read_truths
from producer_sim.oracle.verify import verify as verify_ledgers
from producer_sim.settings import DatabaseSettings, ProductSettings
from runtime.terminal import Terminal, fail

Ledgers = Annotated[list[Path], typer.Argument(help="Directories that run or replay filled.")]
Exact = Annotated[
    bool,
    typer.Option("--exact", help="The tables must hold nothing but these ledgers' messages."),
]
Wait = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=604_800.0,
        help="Seconds to wait for consumers that make no progress, and for each answer of a busy"
        " API.",
    ),
]
AnswersUrl = Annotated[
    str | None,
    typer.Option(
        "--answers",
        metavar="URL",
        help="Also ask this API, and compare its answers with the truth of each ledger of"
        " `run --world`. Uses API_KEY if it is set.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def verify(
    *,
    ledgers: Ledgers,
    exact: Exact = False,
    wait: Wait = 60.0,
    answers: AnswersUrl = None,
    as_json: AsJson = False,
) -> None:
    """Compare what was sent with what is stored, value by value.

    Reads DATABASE_URL for the group CONSUMER_GROUP, in one read-only snapshot. Finds readings that
    are lost, invented, altered or doubled, messages with a wrong outcome, and current states that
    are not the newest reading. With --answers also wrong energies, coverages and statuses of
    vehicles and of the fleet, and faults that the API misses or makes up.

    Exit codes: 0 clean, 1 a check failed or could not be made, 2 wrong use, 3 the stored data are
    right and no answer was wrong, but some did not come in time.
    """
    database = settings_of(DatabaseSettings)
    console = Terminal(stderr=as_json)
    try:
        truths = read_truths(ledgers) if answers is not None else []
        report = verify_ledgers(
            ledgers,
            database_url=database.database_url.get_secret_value(),
            consumer_group=database.consumer_group,
            exact=exact,
            wait_seconds=wait,
            console=console,
        )
        if answers is not None:
            key = settings_of(ProductSettings).key
            report = report.with_more(
                *ask(answers, key, truths, exact=exact, console=console, patience_s=wait)
            )
    except (EmptyLedgerError, SnapshotError) as error:
        fail(str(error), code=LOST)
    except LedgerError as error:
        fail(str(error), code=WRONG_USE)
    if as_json:
        sys.stdout.write(report.to_json() + "\n")
    else:
        show_report(console, report)
    raise typer.Exit(report.exit_code)
