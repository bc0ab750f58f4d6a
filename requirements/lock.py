"""Pin every dependency with its hashes: `make lock`, which needs uv and Python 3.11.

Each lock file is a layer: it begins with the layers below it (`-r`) and pins only what these do
not. All is resolved together first, and each layer from that, so a package has one version in all
layers. A version that is pinned already is kept where it can be; delete a pin to have it renewed.
"""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
UV = (
    *("uv", "pip", "compile", str(FOLDER.with_name("pyproject.toml")), "--quiet", "--no-header"),
    *("--universal", "--python-version", "3.11", "--generate-hashes"),
    *("--no-emit-index-url", "--no-emit-find-links"),
)
_PIN = re.compile(r"^[a-z0-9][^\n]*\n(?: [^\n]*\n)*", re.MULTILINE)


class Layer(NamedTuple):
    """A lock file, the layers that it begins with, and the parts of pyproject.toml that it has."""

    name: str
    below: tuple[str, ...]
    options: tuple[str, ...]


LAYERS = (
    Layer("consumer", (), ()),
    Layer("producer", ("consumer",), ("--extra=producer",)),
    Layer("api", ("producer",), ("--extra=api",)),
    Layer("simulator", ("producer",), ("--extra=simulator",)),
    Layer("demo", ("api", "simulator"), ("--extra=api", "--extra=simulator", "--extra=local")),
    Layer("dev", ("demo",), ("--all-extras", "--group=dev")),
)


def pins(text: str) -> list[str]:
    """Return the pins of a lock file, each with its hashes and with what requires it."""
    return _PIN.findall(text)


def subject(pin: str) -> str:
    """Return what is pinned: name, version and the environments that it is for."""
    return pin.partition("\n")[0].removesuffix(" \\")


def main() -> None:
    """Write all lock files; raises CalledProcessError if uv finds no solution."""
    files = {layer.name: FOLDER / f"{layer.name}.txt" for layer in LAYERS}
    now = "".join("".join(pins(file.read_text())) for file in files.values() if file.exists())
    everything = _resolve(LAYERS[-1].options, kept=now)
    pinned: dict[str, set[str]] = {}
    for layer in LAYERS:
        known = set().union(*(pinned[name] for name in layer.below))
        found = pins(_resolve(layer.options, kept=everything))
        more = [pin for pin in found if subject(pin) not in known]
        begin = ["# Written by `make lock`.\n", *(f"-r {name}.txt\n" for name in layer.below)]
        files[layer.name].write_text("".join(begin + more))
        pinned[layer.name] = known | set(map(subject, more))


def _resolve(options: Sequence[str], *, kept: str) -> str:
    """Return the pins of these parts; uv keeps the versions that its output file holds."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "pins.txt")
        output.write_text(kept)
        command = [*UV, *options, "--output-file", str(output)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return output.read_text()


if __name__ == "__main__":
    main()
