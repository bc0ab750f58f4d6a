"""The lock files are layers: each begins with those below it and pins only what they do not."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy.replica import ROOT

FOLDER = ROOT / "requirements"
# Programs that are installed without what they require stand in no layer.
FILES = sorted({*FOLDER.glob("*.txt")} - {FOLDER / "helm.txt"})
TEXT = "".join(file.read_text() for file in FILES)


def pins(file: Path) -> list[Requirement]:
    lines = re.findall(r"^[a-z0-9].*(?= \\$)", file.read_text(), re.MULTILINE)
    return [Requirement(line) for line in lines]


def below(file: Path) -> set[Path]:
    """Return every file that this one begins with, directly or not."""
    direct = {FOLDER / name for name in re.findall(r"^-r (.+)$", file.read_text(), re.MULTILINE)}
    return direct.union(*(below(one) for one in direct))


def test_each_layer_stands_on_the_consumer() -> None:
    layers = {file.stem: {one.stem for one in below(file)} for file in FILES}
    assert layers == {
        "consumer": set(),
        "producer": {"consumer"},
        "api": {"consumer", "producer"},
        "simulator": {"consumer", "producer"},
        "demo": {"consumer", "producer", "api", "simulator"},
        "dev": {"consumer", "producer", "api", "simulator", "demo"},
    }


def test_no_package_is_pinned_twice_for_one_environment() -> None:
    pinned = [pin for file in FILES for pin in pins(file)]
    named = [(pin.name, pin.marker) for pin in pinned]
    assert len(named) == len(set(named))
    # Two pins of one name are two versions for different Pythons, or an upper layer that needs
    # on every platform what a lower one needs on some.
    by_name: dict[str, list[Requirement]] = {}
    for pin in pinned:
        by_name.setdefault(pin.name, []).append(pin)
    for several in by_name.values():
        versions = {str(pin.specifier) for pin in several}
        assert all(pin.marker for pin in several) or len(versions) == 1
        assert len(several) <= 2


def test_the_layers_that_no_other_begins_with_share_no_pin() -> None:
    api, simulator = (pins(FOLDER / f"{name}.txt") for name in ("api", "simulator"))
    assert not {pin.name for pin in api} & {pin.name for pin in simulator}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_pin_is_exact_and_has_hashes(file: Path) -> None:
    text = re.sub(r"^(#|-r ).*\n", "", file.read_text(), flags=re.MULTILINE)
    pin = r"[a-z0-9-]+==\S+( ; [^\\\n]+)? \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+(    #.*\n)+"
    assert re.fullmatch(f"({pin})+", text)


def test_no_lock_file_names_an_index() -> None:
    assert not re.search(r"://|index-url|find-links", TEXT)
