"""The base of the images: the one of a registry, or a stand-in made of Debian's packages."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.images.errors import ImageError, MissingEngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.images.engine import Engine

BASE = "python:3.13-slim-trixie"  # the Dockerfile's default
STAND_IN = "wattline-base:trixie"
RELEASE = "trixie"  # Debian 13, whose Python is 3.13
PACKAGES = ("ca-certificates", "python3", "python3-venv", "python3-pip", "python3-pip-whl")
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
SECONDS_TO_BUILD = 600


def choose(engine: Engine, *, base: str | None, say: Callable[[str], None]) -> str:
    """Return the name of the base image to build on.

    `base` is an image, "local" for the stand-in, or None for `BASE` where it can be had. Raises
    MissingEngineError, ImageError.
    """
    if base == "local":
        return stand_in(engine, say=say)
    if engine.has(base or BASE):
        return base or BASE
    if base:
        raise ImageError(f"the base image {base} is neither here nor in a registry", log=engine.log)
    say(f"no registry gives {BASE} here: a stand-in made of Debian's packages is used instead")
    return stand_in(engine, say=say)


def stand_in(engine: Engine, *, say: Callable[[str], None]) -> str:
    """Return the name of the stand-in, made if the engine has none. Raises as `choose` does."""
    with contextlib.suppress(ImageError):
        engine.docker("image", "inspect", STAND_IN)
        return STAND_IN
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        raise MissingEngineError(
            "a stand-in for the base image is made by root with debootstrap; "
            "on Debian: apt-get install debootstrap"
        )
    say("making the stand-in, one to two minutes")
    with tempfile.TemporaryDirectory(prefix="wattline-base-", ignore_cleanup_errors=True) as folder:
        root = Path(folder, "root")
        words = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
        engine.run([*words, RELEASE, str(root)], seconds=SECONDS_TO_BUILD)
        (root / "usr/bin/python").symlink_to("python3")
        for archive in (root / "var/cache/apt/archives").glob("*.deb"):
            archive.unlink()
        # What this machine trusts, its image must trust too: a company's proxy may sign by itself.
        if AUTHORITIES.exists():
            shutil.copyfile(AUTHORITIES, root / AUTHORITIES.relative_to("/"))
        _import(engine, root)
    return STAND_IN


def _import(engine: Engine, root: Path) -> None:
    tar = root.with_name("root.tar")
    subprocess.run(["tar", "-C", str(root), "-cf", str(tar), "."], check=True)
    engine.docker("import", str(tar), STAND_IN, seconds=SECONDS_TO_BUILD)
