"""Build a target of the Dockerfile, run what came of it, and write its bill of materials."""

from __future__ import annotations

import json
import subprocess
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy.images import sbom
from deploy.images.errors import CheckError, ImageError
from deploy.images.inventory import PROGRAM, Inventory, read
from deploy.replica import ROOT
from requirements.lock import FOLDER as LOCKS
from requirements.lock import LAYERS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deploy.images.engine import Engine

TARGETS = ("consumer", "api", "simulator")
USER = 10001
LABEL = "org.opencontainers.image"
SECONDS_TO_BUILD = 900
# As strict as docker-compose.yml, and without a network.
CONFINED = (
    *("run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges:true"),
)


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that was built and checked: its size in bytes unpacked, and its bill's file."""

    name: str
    size: int
    libraries: int
    packages: int
    bill: Path


def name_of(target: str) -> str:
    """Return the image of a target, the name that docker-compose.yml uses."""
    return f"wattline-{target}"


def version() -> str:
    """Return the version of the project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def build(engine: Engine, target: str, *, base: str, platform: str | None) -> None:
    """Build the image of a target on a base; raises ImageError.

    `platform` is such as linux/arm64; None is the engine's own.
    """
    words = ["docker", "build", "--target", target, "--tag", name_of(target)]
    words += ["--build-arg", f"BASE={base}"]
    for name, value in _labels().items():
        words += ["--label", f"{LABEL}.{name}={value}"]
    if platform:
        words += ["--platform", platform]
    run_build(engine, [*words, str(ROOT)])


def run_build(engine: Engine, words: Sequence[str]) -> None:
    """Run a `docker build`: with BuildKit if the client has it, else with the classic builder."""
    words = [*words[:2], "--network", "host", *words[2:]] if engine.own else words
    try:
        engine.docker("buildx", "version")
    except ImageError:
        # Or a client without buildx would refuse to build at all.
        engine.run(words, seconds=SECONDS_TO_BUILD, more={"DOCKER_BUILDKIT": "0"})
    else:
        engine.run(words, seconds=SECONDS_TO_BUILD)


def _labels() -> dict[str, str]:
    """Return what tells one build from another; without git, only the version."""
    words = ["git", "-C", str(ROOT), "log", "-1", "--format=%H %cI"]
    try:
        commit = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return {"version": version()}
    return {"version": version(), "revision": commit[0], "created": commit[1]}


def check(engine: Engine, target: str, *, folder: Path) -> Image:
    """Run an image, confined, and write its bill; raises CheckError, ImageError."""
    name = name_of(target)
    usage = engine.docker(*CONFINED, name, "--help", seconds=120)
    if "Usage" not in usage:
        raise CheckError(f"{name} --help says no usage", log=engine.log)
    printed = engine.docker(*CONFINED, "--entrypoint", "python", name, "-c", PROGRAM, seconds=120)
    inventory = read(printed)
    [configuration] = json.loads(engine.docker("image", "inspect", name))
    pinned = sbom.locked(_lock(target), inventory.markers)
    wrong = [
        *faults(inventory, configuration["Config"], server=target != "simulator"),
        *sbom.differences(pinned, inventory),
    ]
    if wrong:
        raise CheckError(f"{name} is not as it must be: {'; '.join(wrong)}", log=engine.log)
    bill = folder / f"{name}.cdx.json"
    content = sbom.bill(name, version(), pinned=pinned, inventory=inventory)
    bill.write_text(json.dumps(content, indent=1) + "\n")
    return Image(
        name=name,
        size=engine.size(name),
        libraries=len(pinned),
        packages=len(inventory.packages),
        bill=bill,
    )


def faults(inventory: Inventory, configuration: dict[str, Any], *, server: bool) -> list[str]:
    """Return what is wrong with how an image runs; `configuration` is the engine's of the image."""
    labels = configuration.get("Labels") or {}
    healthcheck = (configuration.get("Healthcheck") or {}).get("Test")
    found = []
    if inventory.user != USER:
        found.append(f"it runs as user {inventory.user}")
    if inventory.writable:
        found.append(f"its user can write to {', '.join(inventory.writable)}")
    if server and healthcheck in (None, ["NONE"]):
        found.append("its health check is missing")
    if not server and healthcheck is not None:
        found.append("it has a health check")
    missing = [one for one in ("title", "licenses", "version") if f"{LABEL}.{one}" not in labels]
    if missing:
        found.append(f"it has no label {', '.join(missing)}")
    return found


def _lock(target: str) -> str:
    """Return the lock file of a target with those that it begins with."""
    layers = {layer.name: layer for layer in LAYERS}

    def names(name: str) -> list[str]:
        return [one for below in layers[name].below for one in names(below)] + [name]

    return "".join((LOCKS / f"{name}.txt").read_text() for name in names(target))
