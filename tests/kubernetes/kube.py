"""Kubernetes as one program, built from its Go modules into a folder that is kept."""

import hashlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from deploy.replica import ROOT
from tests.kubernetes.errors import ClusterError

FOLDER = ROOT / ".local" / "kubernetes"
SOURCE = Path(__file__).parent / "kube"
PROGRAM = FOLDER / "kube"
SECONDS_TO_BUILD = 3600
# Without it the API server says that it is version 0, which charts refuse.
_VERSIONS = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
_VERSION = {"gitVersion": "v1.34.4", "gitMajor": "1", "gitMinor": "34", "gitTreeState": "archive"}


def build(say: Callable[[str], None]) -> Path:
    """Return the program, built if its source has changed; raises ClusterError."""
    made_of, log = PROGRAM.with_suffix(".source"), FOLDER / "build.log"
    digest = _digest()
    if PROGRAM.exists() and made_of.exists() and made_of.read_text() == digest:
        return PROGRAM
    say("building Kubernetes: a quarter of an hour the first time, then the cache of Go has it")
    FOLDER.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with log.open("wb") as output:
        done = subprocess.run(
            ["nice", "go", "build", f"-ldflags={_linked()}", "-o", str(PROGRAM), "."],
            cwd=SOURCE,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=SECONDS_TO_BUILD,
            check=False,
        )
    if done.returncode:
        raise ClusterError("Kubernetes could not be built", log=log)
    made_of.write_text(digest)
    say(f"Kubernetes was built in {time.monotonic() - begun:.0f} s")
    return PROGRAM


def _linked() -> str:
    named = [f"-X {place}.{name}={text}" for place in _VERSIONS for name, text in _VERSION.items()]
    return " ".join(("-s -w", *named))


def _digest() -> str:
    files = (SOURCE / name for name in ("go.mod", "go.sum", "main.go"))
    source = b"".join(file.read_bytes() for file in files)
    return hashlib.sha256(source + _linked().encode()).hexdigest()
