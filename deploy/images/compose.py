"""The program `docker compose`: the plugin that is there, or one built from its own source.

Debian's docker-compose is of an older generation and cannot read our file. `plugin/` pins compose
and all that it is made of by their hashes; Go checks them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.images.errors import ImageError, MissingEngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.images.engine import Engine

MODULE = Path(__file__).with_name("plugin")
PACKAGE = "github.com/docker/compose/v2"
SECONDS_TO_BUILD = 1_800


def version() -> str:
    """Return the version of compose that `plugin/` pins, such as v2.40.3."""
    [found] = re.findall(rf"{re.escape(PACKAGE)} (v\S+)", (MODULE / "go.mod").read_text())
    return str(found)


def cache() -> Path:
    """Return the file that a built compose is kept in, for the user and for good."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "wattline" / f"docker-compose-{version()}"


def program(engine: Engine, *, say: Callable[[str], None]) -> list[str]:
    """Return the words that compose is called by; raises MissingEngineError, ImageError."""
    with contextlib.suppress(ImageError):
        engine.docker("compose", "version")
        return ["docker", "compose"]
    if cache().exists():
        return [str(cache())]
    if shutil.which("go") is None:
        raise MissingEngineError(
            "docker compose is not installed, and Go, which could build it, is not either: "
            "see docs.docker.com/compose/install"
        )
    say(f"building docker compose {version()}, some six minutes of CPU, once")
    cache().parent.mkdir(parents=True, exist_ok=True)
    unfinished = cache().with_name(f".{cache().name}-{os.getpid()}")
    link = f"-s -w -X {PACKAGE}/internal.Version={version()}"
    words = [
        "go",
        "build",
        "-C",
        str(MODULE),
        "-mod=readonly",
        "-buildvcs=false",
        "-trimpath",
        "-ldflags",
        link,
    ]
    engine.run([*words, "-o", str(unfinished), f"{PACKAGE}/cmd"], seconds=SECONDS_TO_BUILD)
    unfinished.replace(cache())
    return [str(cache())]
