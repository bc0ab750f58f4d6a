"""Results as a table: for people at a terminal, and as Markdown for docs/security.md.

The latter by `python -m tests.attack.table docs/benchmarks/attack.json`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from tests.attack import attacks  # noqa: F401  registers them
from tests.attack.attack import ATTACKS
from tests.attack.result import IDLE, Result, read
from tests.attack.sight import Latency

_MOST_SAID = 4
_LONGEST_FAULT = 70
_TO_FILL = "to be measured"


def table_of(results: list[Result], beside: Mapping[str, Result]) -> Table:
    """Return the results for people, with earlier ones beside them."""
    table = Table(box=box.SIMPLE_HEAD)
    columns = ["attack", "who", "live p50/p99/worst, ms", "state p99/worst, ms", "memory, MiB"]
    for header in [*columns, "was told", "s", "", *(["before"] if beside else [])]:
        table.add_column(header, justify="left" if header in {"attack", "who", ""} else "right")
    for one in results:
        live, state = one.seen.live, one.seen.state
        earlier = beside.get(one.name)
        table.add_row(
            one.name,
            one.who,
            f"{live.p50:,.0f} / {live.p99:,.0f} / {live.worst:,.0f}{_failed(live.failed)}",
            f"{state.p99:,.0f} / {state.worst:,.0f}{_failed(state.failed)}",
            " ".join(
                f"{name} {memory.before >> 20:,}→{memory.most >> 20:,}"
                for name, memory in one.seen.memory.items()
            ),
            _said(one),
            f"{one.seconds:.0f}",
            _verdict(one),
            *([_short(earlier) if earlier else ""] if beside else []),
        )
    return table


def markdown_of(results: Mapping[str, Result]) -> str:
    """Return the table of docs/security.md: every attack that is known, and what it came to."""
    lines = ["| attack | who | result |", "|---|---|---|"]
    for name, one in ATTACKS.items():
        about = one.about.rstrip(".")
        lines.append(f"| `{name}`: {about} | {one.who} | {_cell(results.get(name))} |")
    lines.append(f"| nothing, for comparison | nobody | {_cell(results.get(IDLE))} |")
    return "\n".join(lines)


def _cell(result: Result | None) -> str:
    return _TO_FILL if result is None else _short(result)


def _short(result: Result) -> str:
    live, state = result.seen.live, result.seen.state
    return (
        f"{_verdict(result)}{_first_fault(result)}: live {_milliseconds(live)},"
        f" state {_milliseconds(state)}, +{result.growth >> 20:,} MiB"
    )


def _first_fault(result: Result) -> str:
    if not result.faults:
        return ""
    fault = result.faults[0].replace("|", "/")
    return f" ({fault if len(fault) <= _LONGEST_FAULT else fault[:_LONGEST_FAULT] + '…'})"


def _milliseconds(latency: Latency) -> str:
    return f"{latency.p99:,.0f} ms{_failed(latency.failed)}" if latency.count else "unknown"


def _verdict(result: Result) -> str:
    if result.faults:
        return "broke"
    return "late" if result.missed else "held"


def _failed(times: int) -> str:
    return f" ({times} failed)" if times else ""


def _said(result: Result) -> str:
    most = sorted(result.said.items(), key=lambda item: -item[1])[:_MOST_SAID]
    return ", ".join(f"{one}: {times:,}" for one, times in most)


def main(
    results: Annotated[Path, typer.Argument(help="what `python -m tests.attack --out` wrote")],
) -> None:
    """Print the results of a run as the table of docs/security.md."""
    typer.echo(markdown_of(read(results)))


if __name__ == "__main__":
    typer.run(main)
