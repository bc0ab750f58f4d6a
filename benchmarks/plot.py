"""Draw the drain's history, docs/benchmarks/drain.jsonl, as a picture beside it: `make plot`.

The picture is not kept in the repository, because it holds nothing that the history does not.
"""

from collections.abc import Sequence

import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import history

PANELS = {
    "ratio": "consumer ÷ raw limit, rows/s",
    "consumer_cpu_us": "consumer's CPU per message, µs",
}


def draw(entries: Sequence[history.Entry]) -> Figure:
    """Return the figure: the ratio over the commits, and below it the consumer's CPU."""
    figure = Figure(figsize=(max(6.0, 2.0 + 0.6 * len(entries)), 5.0), layout="constrained")
    panels = figure.subplots(len(PANELS), 1, sharex=True)
    for axes, (name, title) in zip(panels, PANELS.items(), strict=True):
        _draw_lines(axes, entries, name)
        axes.set_title(title, fontsize="medium", loc="left")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", alpha=0.3)
    panels[0].legend(fontsize="small", loc="lower right")
    commits = [entry["commit"] for entry in entries]
    panels[-1].set_xticks(range(len(entries)), commits, rotation=45, ha="right")
    return figure


def _draw_lines(axes: Axes, entries: Sequence[history.Entry], name: str) -> None:
    """Draw a line for each length of backlog: medians, with a bar from the least to the most."""
    for messages in sorted({entry["messages"] for entry in entries}):
        places = [n for n, one in enumerate(entries) if one["messages"] == messages]
        values = [entries[place][name] for place in places]
        middles = [value["median"] for value in values]
        bars = [
            [value["median"] - value["min"] for value in values],
            [value["max"] - value["median"] for value in values],
        ]
        label = f"{messages:,} messages"
        axes.errorbar(places, middles, yerr=bars, marker="o", capsize=3, label=label)


def main() -> None:
    """Write the picture, and print where it is."""
    file = history.FOLDER / "drain.svg"
    draw(history.read(file.with_suffix(".jsonl"))).savefig(file)
    typer.echo(file)


if __name__ == "__main__":
    main()
