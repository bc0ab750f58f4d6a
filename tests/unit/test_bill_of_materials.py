"""What a lock file means in one image, and the bill of materials that comes of it."""

from dataclasses import replace

import pytest

from deploy.images.inventory import Inventory, Library, Package
from deploy.images.sbom import Pin, bill, differences, locked

LINUX = {"sys_platform": "linux", "python_full_version": "3.13.5", "python_version": "3.13"}
OLD, NEW, PLAIN = "a" * 64, "b" * 64, "c" * 64
LOCK = f"""\
# Written by `make lock`.
-r consumer.txt
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:{PLAIN}
    # via click
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:{OLD}
    # via wattline (pyproject.toml)
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:{NEW} \\
    --hash=sha256:{PLAIN}
    # via wattline (pyproject.toml)
typing-extensions==4.15.0 \\
    --hash=sha256:{PLAIN}
    # via pydantic
"""


@pytest.fixture
def inventory() -> Inventory:
    return Inventory(
        user=10001,
        writable=(),
        markers=LINUX,
        distribution="debian-13",
        libraries=(
            Library(name="numpy", version="2.5.5", licence="BSD-3-Clause AND MIT"),
            Library(name="Typing_Extensions", version="4.15.0", licence=None),
        ),
        packages=(Package(name="libc6", version="2.41-12+deb13u1", architecture="arm64"),),
    )


def test_a_lock_file_means_the_pins_whose_markers_hold() -> None:
    assert locked(LOCK, LINUX) == {
        "numpy": Pin(name="numpy", version="2.5.5", hashes=(NEW, PLAIN)),
        "typing-extensions": Pin(name="typing-extensions", version="4.15.0", hashes=(PLAIN,)),
    }
    assert {"colorama", "numpy", "typing-extensions"} == locked(
        LOCK, LINUX | {"sys_platform": "win32"}
    ).keys()


def test_the_libraries_of_an_image_are_those_of_its_lock_file(inventory: Inventory) -> None:
    pinned = locked(LOCK, LINUX)
    assert differences(pinned, inventory) == []
    other = replace(
        inventory,
        libraries=(
            Library(name="numpy", version="2.5.4", licence=None),
            Library(name="pip", version="25.1", licence="MIT"),
        ),
    )
    assert differences(pinned, other) == [
        "numpy: locked 2.5.5, installed 2.5.4",
        "pip: locked nothing, installed 25.1",
        "typing-extensions: locked 4.15.0, installed nothing",
    ]


def test_a_bill_lists_python_libraries_and_packages(inventory: Inventory) -> None:
    made = bill("wattline-api", "0.1.0", pinned=locked(LOCK, LINUX), inventory=inventory)
    assert made["bomFormat"] == "CycloneDX"
    assert made["metadata"]["component"]["name"] == "wattline-api"
    assert [one["purl"] for one in made["components"]] == [
        "pkg:generic/python@3.13.5",
        "pkg:pypi/numpy@2.5.5",
        "pkg:pypi/typing-extensions@4.15.0",
        "pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?arch=arm64&distro=debian-13",
    ]
    numpy, extensions = made["components"][1:3]
    assert numpy["licenses"] == [{"expression": "BSD-3-Clause AND MIT"}]
    assert [one["value"] for one in numpy["properties"]] == [NEW, PLAIN]
    assert "licenses" not in extensions


def test_the_same_image_gives_the_same_bill_and_another_one_another(inventory: Inventory) -> None:
    pinned = locked(LOCK, LINUX)
    made = bill("wattline-api", "0.1.0", pinned=pinned, inventory=inventory)
    assert bill("wattline-api", "0.1.0", pinned=pinned, inventory=inventory) == made
    later = bill("wattline-api", "0.2.0", pinned=pinned, inventory=inventory)
    assert later["serialNumber"] != made["serialNumber"]
