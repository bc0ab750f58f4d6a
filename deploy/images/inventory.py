"""What an image holds, as its own Python tells it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Run by the Python of an image, so it uses only what every Python has.
PROGRAM = """
import importlib.metadata, json, os, platform, subprocess, sys
query = ["dpkg-query", "--show", "--showformat", "${Package} ${Version} ${Architecture}\\n"]
version = ".".join(platform.python_version_tuple()[:2])
print(json.dumps({
    "user": os.getuid(),
    "writable": [folder for folder in ("/", "/app", "/venv") if os.access(folder, os.W_OK)],
    "markers": {
        "implementation_name": sys.implementation.name,
        "implementation_version": platform.python_version(),
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": version,
        "sys_platform": sys.platform,
    },
    "release": platform.freedesktop_os_release(),
    "libraries": [
        [one.metadata["Name"], one.version, one.metadata["License-Expression"]]
        for one in importlib.metadata.distributions()
    ],
    "packages": [line.split() for line in subprocess.check_output(query, text=True).splitlines()],
}))
"""


@dataclass(frozen=True, kw_only=True)
class Library:
    """A Python library that is installed; `licence` is its SPDX expression, if it has one."""

    name: str
    version: str
    licence: str | None


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package of the distribution that is installed, with dpkg's name of its architecture."""

    name: str
    version: str
    architecture: str


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What an image holds, and how it runs.

    `markers` is the environment that the markers of a lock file are evaluated in; `distribution`
    is such as "debian-13"; `writable` are the folders of code that its user could change.
    """

    user: int
    writable: tuple[str, ...]
    markers: Mapping[str, str]
    distribution: str
    libraries: tuple[Library, ...]
    packages: tuple[Package, ...]

    @property
    def python(self) -> str:
        """The version of Python."""
        return self.markers["python_full_version"]


def read(printed: str) -> Inventory:
    """Return the inventory that `PROGRAM` has printed."""
    found = json.loads(printed)
    release = found["release"]
    return Inventory(
        user=found["user"],
        writable=tuple(found["writable"]),
        markers=found["markers"],
        distribution=f"{release['ID']}-{release['VERSION_ID']}",
        libraries=tuple(
            Library(name=name, version=version, licence=licence)
            for name, version, licence in found["libraries"]
        ),
        packages=tuple(
            Package(name=name, version=version, architecture=architecture)
            for name, version, architecture in found["packages"]
        ),
    )
