"""Commands of the images: build, compose."""

import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from deploy.images import base as bases
from deploy.images import trial
from deploy.images.build import TARGETS, build, check
from deploy.images.engine import Engine, engine
from deploy.images.errors import ImageError
from deploy.replica import ROOT
from runtime.terminal import Terminal, errors

FOLDER = ROOT / ".local" / "images"

console = Terminal(soft_wrap=True)
app = typer.Typer(
    help="Wattline's images: build them, and try docker-compose.yml with them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Folder = Annotated[
    Path,
    typer.Option(
        "--dir",
        file_okay=False,
        help="Where bills of materials and logs are written, and our own engine keeps its images.",
        show_default=".local/images in the repository",
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        help=f'The image to build on, or "local" for a stand-in made of Debian\'s packages; '
        f"by default {bases.BASE}, or the stand-in where no registry gives that."
    ),
]
Platform = Annotated[
    str | None, typer.Option(help="Such as linux/arm64; by default the engine's own.")
]


@app.command("build")
def build_(folder: Folder = FOLDER, base: Base = None, platform: Platform = None) -> None:
    """Build the three images, run each once confined, and write their bills of materials."""
    with engine(folder) as running:
        _build(running, base=base, platform=platform, folder=folder)


@app.command("compose")
def compose_(folder: Folder = FOLDER, base: Base = None) -> None:
    """Run docker-compose.yml with the images: start it, scale it, kill consumers, check readings.

    Where no registry gives the images of Kafka, PostgreSQL and Prometheus, others stand in for
    them, and Grafana is left out. It uses volumes of its own and free ports, and removes them.
    """
    with engine(folder) as running:
        chosen = _build(running, base=base, platform=None, folder=folder)
        trial.run(running, base=chosen, say=console.print)


def _build(running: Engine, *, base: str | None, platform: str | None, folder: Path) -> str:
    """Build and check all images, show them, and return the base that was used."""
    begun = time.monotonic()
    table = Table("image", "MB", "libraries", "packages", "bill of materials")
    chosen = bases.choose(running, base=base, say=console.print)
    for target in TARGETS:
        build(running, target, base=chosen, platform=platform)
        image = check(running, target, folder=folder)
        counts = (f"{image.size / 1e6:.0f}", str(image.libraries), str(image.packages))
        table.add_row(image.name, *counts, image.bill.name)
    console.print(table)
    console.print(
        f"{len(TARGETS)} images were built on {chosen} and run in {time.monotonic() - begun:.0f} s;"
        f" bills of materials and logs are in {folder}"
    )
    return chosen


def main() -> None:
    """Run a command; an expected failure is one line and exit code 1."""
    # A time limit ends us by this signal: an engine of ours and its containers must end, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        app()
    except ImageError as error:
        errors.print(f"error: {error}")
        if error.log:
            errors.print(f"log: {error.log}")
        sys.exit(1)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        errors.print(f"error: {error.strerror or error}{where}")
        sys.exit(1)


if __name__ == "__main__":
    main()
