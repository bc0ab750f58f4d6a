"""What a user sees: a progress line on a terminal, and the figures and reports at the end."""

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from producer_sim.ledger.reports import Tally
from producer_sim.oracle.verdict import Check, Report
from telemetry.timestamps import format_timestamp

_REFRESH_SECONDS = 0.25


class Display:
    """Shows a tally while it grows: on a terminal live, elsewhere at the end; `quiet`: never."""

    def __init__(self, *, console: Console, tally: Tally, total: int | None, quiet: bool) -> None:
        self._console = console
        self._tally = tally
        self._quiet = quiet
        self._began = self._shown = time.monotonic()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[clock]}"),
            BarColumn(),
            TextColumn("{task.fields[sent]:,} sent, {task.fields[acknowledged]:,} acknowledged"),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TimeElapsedColumn(),
            console=console,
            auto_refresh=False,  # a thread would compete with the reports for the interpreter
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._progress.add_task(
            "", total=total, clock="", sent=0, acknowledged=0, rate=0.0
        )

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, due_us: int) -> None:
        """Show the simulated clock, at most every quarter of a second."""
        now = time.monotonic()
        if self._progress.disable or now - self._shown < _REFRESH_SECONDS:
            return
        self._shown = now
        self._progress.update(
            self._task,
            completed=self._tally.sent,
            clock=format_timestamp(due_us)[:19] + "Z",
            sent=self._tally.sent,
            acknowledged=self._tally.acknowledged,
            rate=self._rate,
        )
        self._progress.refresh()

    def conclude(self, **more: object) -> None:
        """Print the figures: a table on a terminal, one line elsewhere."""
        tally = self._tally
        figures: dict[str, object] = {
            "sent": f"{tally.sent:,}",
            "acknowledged": f"{tally.acknowledged:,}",
            "failed": f"{tally.failed:,}",
            "unknown": f"{tally.unknown:,}",
            "seconds": f"{time.monotonic() - self._began:,.1f}",
            "messages/s": f"{self._rate:,.0f}",
        } | more
        if self._quiet:
            return
        if not self._console.is_terminal:
            line = ", ".join(f"{name} {value}" for name, value in figures.items())
            self._console.print(line, soft_wrap=True)
            return
        table = Table(show_header=False)
        for name, value in figures.items():
            table.add_row(name, str(value))
        self._console.print(table)

    @property
    def _rate(self) -> float:
        return self._tally.sent / max(time.monotonic() - self._began, 1e-3)


def show_report(console: Console, report: Report) -> None:
    """Print a report: totals, checks, and examples of what is wrong."""
    totals = Table("figure", "messages", title="Messages in the ledgers, and where they ended")
    for name, total in report.totals.items():
        totals.add_row(name, f"{total:,}")
    checks = Table("check", "violations", "verdict")
    for check in report.checks:
        checks.add_row(check.name, f"{check.violations:,}", _verdict(check))
    console.print(totals, checks)
    for check in report.checks:
        for example in check.examples:
            console.print(f"{check.name}: {example}", soft_wrap=True)
    for ledger in report.unclosed:
        console.print(
            f"{ledger}: was not closed; messages sent after its last part are missing from it",
            soft_wrap=True,
        )
    if report.unasked is not None:
        problem = f"the API did not answer everything: {report.unasked.problem}"
        console.print(problem, soft_wrap=True)
    console.print(_conclusion(report))


def _verdict(check: Check) -> Text:
    if check.violations:
        return Text("VIOLATED", style="red")
    return Text("ok", style="green") if check.compared else Text("unchecked", style="yellow")


def _conclusion(report: Report) -> Text:
    if report.clean:
        return Text("clean", style="green")
    if report.is_violated:
        return Text("NOT CLEAN", style="red")
    return Text("NOTHING WRONG, BUT NOT ALL CHECKED", style="yellow")
