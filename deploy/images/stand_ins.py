"""Stand-ins for the images of Kafka, PostgreSQL and Prometheus, where no registry gives these.

They hold what the local stack runs: Kafka's locked jars, the Java and the PostgreSQL of the wheels.
Prometheus is Debian's. Grafana is in neither.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.images.build import run_build
from deploy.images.errors import MissingEngineError
from deploy.local.errors import LocalStackError
from deploy.local.kafka import jars, java
from deploy.local.postgres.unprivileged import programs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.images.engine import Engine

CONTEXT = Path(__file__).with_name("context")
PROGRAMS = ("kafka", "postgres", "prometheus")


def stand_in(image: str) -> str | None:
    """Return the image that stands in for `[registry/]name:tag`; None if there is none."""
    name = image.rpartition("/")[2].partition(":")[0]
    return name_of(name) if name in PROGRAMS else None


def name_of(program: str) -> str:
    """Return the image that stands in for that of Kafka, PostgreSQL or Prometheus."""
    return f"wattline-stand-in-{program}"


def build(engine: Engine, images: Iterable[str], *, base: str) -> None:
    """Build these stand-ins; raises MissingEngineError, ImageError."""
    with tempfile.TemporaryDirectory(prefix="wattline-stand-ins-") as folder:
        context = Path(folder)
        try:
            _lay(context)
        except LocalStackError as error:
            raise MissingEngineError(str(error)) from error
        for image in images:
            target = image.removeprefix(name_of(""))
            words = ["docker", "build", "--target", target, "--tag", image]
            run_build(engine, [*words, "--build-arg", f"BASE={base}", str(context)])


def _lay(context: Path) -> None:
    """Copy the programs and the files of `CONTEXT` into a folder; raises LocalStackError."""
    shutil.copytree(CONTEXT, context, dirs_exist_ok=True)
    (context / "jars").mkdir()
    for jar in jars.class_path():
        shutil.copy2(jar, context / "jars")
    shutil.copytree(java.find().parents[1], context / "java", symlinks=True)
    package = programs(None).parents[1]
    unneeded = shutil.ignore_patterns("include", "*.a", "pkgconfig", "__pycache__")
    # The programs find their libraries by a relative path: both stay side by side.
    installed = context / "postgres" / package.name / programs(None).parent.name
    shutil.copytree(programs(None).parent, installed, ignore=unneeded, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, context / "postgres" / libraries.name)
