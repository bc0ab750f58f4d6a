"""The bill of materials of an image, in CycloneDX 1.6: pure.

The libraries are those of the lock files, with their hashes; the packages of the base and the
Python are those that the image itself names. The same image gives the same bill: it holds no time.
Source of the form: https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from requirements.lock import pins, subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.images.inventory import Inventory, Package

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A library that a lock file asks for; `hashes` are the SHA-256, in hex, of its wheels."""

    name: str
    version: str
    hashes: tuple[str, ...]


def locked(text: str, markers: Mapping[str, str]) -> dict[str, Pin]:
    """Return the pins of a lock file that count where these markers hold, by canonical name."""
    found: dict[str, Pin] = {}
    for pin in pins(text):
        wanted = Requirement(subject(pin))
        if wanted.marker is None or wanted.marker.evaluate(dict(markers)):
            name = canonicalize_name(wanted.name)
            version = next(iter(wanted.specifier)).version
            found[name] = Pin(name=name, version=version, hashes=tuple(_HASH.findall(pin)))
    return found


def differences(pinned: Mapping[str, Pin], inventory: Inventory) -> list[str]:
    """Return where the libraries of an image are not those of its lock file, one line each."""
    installed: dict[str, str] = {
        canonicalize_name(one.name): one.version for one in inventory.libraries
    }
    return [
        f"{name}: locked {pinned[name].version if name in pinned else 'nothing'}, "
        f"installed {installed.get(name, 'nothing')}"
        for name in sorted(pinned.keys() | installed.keys())
        if name not in pinned or installed.get(name) != pinned[name].version
    ]


def bill(
    image: str, version: str, *, pinned: Mapping[str, Pin], inventory: Inventory
) -> dict[str, Any]:
    """Return the bill of materials of an image as a JSON object."""
    licences: dict[str, str | None] = {
        canonicalize_name(one.name): one.licence for one in inventory.libraries
    }
    components = [
        _component("platform", "python", inventory.python, "generic"),
        *(_library(pin, licences.get(name)) for name, pin in sorted(pinned.items())),
        *(_package(one, inventory.distribution) for one in inventory.packages),
    ]
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _component("container", image, version, "oci")},
        "components": components,
    }
    # The same content has the same number.
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return {**content, "serialNumber": f"urn:uuid:{number}"}


def _component(kind: str, name: str, version: str, registry: str) -> dict[str, Any]:
    purl = f"pkg:{registry}/{quote(name)}@{quote(version)}"
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _library(pin: Pin, licence: str | None) -> dict[str, Any]:
    hashes = [{"name": "wattline:locked:sha256", "value": one} for one in pin.hashes]
    found = {**_component("library", pin.name, pin.version, "pypi"), "properties": hashes}
    return {**found, "licenses": [{"expression": licence}]} if licence else found


def _package(package: Package, distribution: str) -> dict[str, Any]:
    family = distribution.partition("-")[0]
    found = _component("library", package.name, package.version, f"deb/{family}")
    purl = f"{found['purl']}?arch={package.architecture}&distro={distribution}"
    return {**found, "purl": purl, "bom-ref": purl}
