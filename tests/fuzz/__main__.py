"""Coverage-guided fuzzing of what decides whether bytes are a reading.

python -m tests.fuzz --inputs 100000
"""

import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from telemetry.streams import STREAMS
from tests.corpus.mutants import NAMES
from tests.corpus.poison import corpus
from tests.corpus.readings import NOW

ROOT = Path(__file__).parents[2]
# Longer ones are slow, and of the same kinds; tests/unit has those.
MAX_INPUT_BYTES = 1_024
TOKENS = [*(f'"{name}":' for name in NAMES), "null", "true", "-0", "1e400", "NaN", "\\u0000"]


def fuzz(inputs: int, *, seed: int = 1) -> bytes | None:
    """Judge this many inputs and return one that failed, if any; what it did goes to stderr.

    Raises RuntimeError if the fuzzer itself failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = folder / "seeds"
        seeds.mkdir()
        values = [value for stream in STREAMS for value, _ in corpus(stream, NOW).values()]
        for place, value in enumerate(values):
            if value is not None and len(value) <= MAX_INPUT_BYTES:
                (seeds / f"{place:03}").write_bytes(value)
        tokens = folder / "tokens"
        quoted = (token.replace("\\", "\\\\").replace('"', '\\"') for token in TOKENS)
        tokens.write_text("".join(f'"{token}"\n' for token in quoted))
        flags = [f"-runs={inputs}", f"-seed={seed}", f"-max_len={MAX_INPUT_BYTES}"]
        files = [f"-dict={tokens}", f"-artifact_prefix={folder}/found-", str(seeds)]
        ended = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.target", "-verbosity=0", *flags, *files],
            cwd=ROOT,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        found = sorted(folder.glob("found-*"))
        if ended.returncode or found:
            sys.stderr.write(ended.stderr)
        if found:
            return found[0].read_bytes()
        if ended.returncode:
            raise RuntimeError(f"the fuzzer ended with {ended.returncode}")
    return None


def main(
    inputs: Annotated[int, typer.Option(min=1, help="how many to try")] = 100_000,
    seed: Annotated[int, typer.Option(min=1, help="the same inputs for the same seed")] = 1,
) -> None:
    """Look for bytes whose end differs by itself and in a batch, or that let an error escape."""
    if importlib.util.find_spec("atheris") is None:
        typer.echo("error: atheris has no wheel for this machine or Python", err=True)
        raise typer.Exit(2)
    begun = time.monotonic()
    try:
        found = fuzz(inputs, seed=seed)
    except RuntimeError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    if found is not None:
        typer.echo(f"error: this input has no one end: {found!r}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{inputs:,} inputs, {time.monotonic() - begun:.0f} s, nothing found")


if __name__ == "__main__":
    typer.run(main)
