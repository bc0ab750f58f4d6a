"""The images that pods run: Wattline's, as `make image` builds them, and one that holds a pod."""

import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from deploy.images import base as bases
from deploy.images.build import build, name_of
from deploy.images.engine import Engine, engine
from tests.kubernetes.errors import ClusterError
from tests.kubernetes.kube import FOLDER

PAUSE = "localhost/wattline-pause:latest"
ARCHIVE = FOLDER / "images.tar"
_ENGINE = FOLDER.with_name("images")
_TARGETS = ("consumer", "api")
_SOURCE = Path(__file__).parent / "pause" / "pause.c"


def archive(say: Callable[[str], None]) -> Path:
    """Build the images and return one archive of them all; raises ImageError, ClusterError."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with engine(_ENGINE) as running:
        base = bases.choose(running, base=None, say=say)
        for target in _TARGETS:
            say(f"building the image {name_of(target)}")
            build(running, target, base=base, platform=None)
        _build_pause(running)
        names = (*(f"{name_of(target)}:latest" for target in _TARGETS), PAUSE)
        running.docker("save", "--output", str(ARCHIVE), *names, seconds=300)
    return ARCHIVE


def _build_pause(running: Engine) -> None:
    with tempfile.TemporaryDirectory(prefix="wattline-pause-") as place:
        program, packed = Path(place, "pause"), Path(place, "pause.tar")
        words = ["gcc", "-Os", "-static", "-o", str(program), str(_SOURCE)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise ClusterError(f"pause.c cannot be compiled: {done.stderr.strip()}")
        with tarfile.open(packed, "w") as files:
            files.add(program, "pause")
        entry = '--change=ENTRYPOINT ["/pause"]'
        running.docker("import", entry, str(packed), PAUSE)
