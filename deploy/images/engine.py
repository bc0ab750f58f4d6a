"""The container engine: the one that answers, or one of our own for as long as we need it.

If none answers and we are root, a `dockerd` that is installed is started with a folder and a
socket of its own. It reads no configuration of the machine, makes no bridge of its own (so that it
does not meet another engine's), and ends with us. Its images stay in the folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.images.errors import ImageError, MissingEngineError
from deploy.local.process import tail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PACKAGES = "on Debian: apt-get install docker.io"
SECONDS_TO_START = 60.0
SECONDS_TO_STOP = 60.0


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine that answers.

    `environment` is what its clients need beside ours. `own` says whether we started it. All its
    commands raise ImageError, and their output goes to `log`.
    """

    environment: Mapping[str, str]
    own: bool
    log: Path

    def run(
        self,
        words: Sequence[str],
        *,
        seconds: float,
        more: Mapping[str, str] | None = None,
        name: str = "",
    ) -> str:
        """Run a program that talks to the engine, and return its standard output.

        `name` is what an error calls it, by default its first words.
        """
        name = name or " ".join(words[:2])
        try:
            with self.log.open("ab") as log:
                log.write(f"$ {' '.join(words)}\n".encode())
                log.flush()
                done = subprocess.run(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={**os.environ, **self.environment, **(more or {})},
                    timeout=seconds,
                    check=False,
                )
                said = [line for line in tail(self.log) if line.strip()][-1]
                log.write(done.stdout)
        except subprocess.TimeoutExpired:
            raise ImageError(f"`{name}` did not end within {seconds:.0f} s", log=self.log) from None
        printed = done.stdout.decode(errors="replace")
        if done.returncode != 0:
            raise ImageError(f"`{name}` failed: {said.strip()}", log=self.log)
        return printed

    def docker(self, *words: str, seconds: float = 60) -> str:
        """Run a command of docker's, and return its standard output."""
        return self.run(["docker", *words], seconds=seconds)

    def has(self, image: str) -> bool:
        """Return whether the engine has the image, or a registry gives it."""
        for words in (("image", "inspect", image), ("pull", "--quiet", image)):
            with contextlib.suppress(ImageError):
                self.docker(*words, seconds=600)
                return True
        return False

    def size(self, image: str) -> int:
        """Return the size of the image, unpacked, in bytes."""
        return int(self.docker("image", "inspect", "--format", "{{.Size}}", image))


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """Yield the engine that answers, or start one with its data in `folder` and stop it at the end.

    Raises MissingEngineError, ImageError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "docker.log"
    log.unlink(missing_ok=True)
    if shutil.which("docker") is None:
        raise MissingEngineError(f"images need docker, which is not installed; {PACKAGES}")
    if _answers({}):
        yield Engine(environment={}, own=False, log=log)
        return
    if shutil.which("dockerd") is None or os.geteuid() != 0:
        raise MissingEngineError(
            "images need a container engine: none answers `docker version`, and one can be "
            f"started here only by root and with dockerd installed; {PACKAGES}"
        )
    with _started(folder) as environment:
        yield Engine(environment=environment, own=True, log=log)


def _answers(environment: Mapping[str, str]) -> bool:
    words = ["docker", "version", "--format", "{{.Server.Version}}"]
    done = subprocess.run(
        words, capture_output=True, env={**os.environ, **environment}, timeout=60, check=False
    )
    return done.returncode == 0


@contextlib.contextmanager
def _started(folder: Path) -> Iterator[dict[str, str]]:
    # A socket's path is at most 107 bytes long, and a work tree's may be longer.
    with tempfile.TemporaryDirectory(prefix="wattline-docker-") as short:
        socket = f"unix://{short}/docker.sock"
        settings = {
            "hosts": [socket],
            "data-root": str(folder.resolve() / "engine"),
            "exec-root": f"{short}/exec",
            "pidfile": f"{short}/docker.pid",
            "bridge": "none",
        }
        file = Path(short, "daemon.json")
        file.write_text(json.dumps(settings))
        with (folder / "dockerd.log").open("wb") as output:
            daemon = subprocess.Popen(
                ["dockerd", "--config-file", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A Ctrl-C is for us: we stop the containers first, and then it.
                start_new_session=True,
            )
        environment = {"DOCKER_HOST": socket}
        try:
            _wait(daemon, environment, folder / "dockerd.log")
            yield environment
        finally:
            daemon.terminate()
            try:
                daemon.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
            # The one mount that it leaves behind; without it the folder can be removed.
            subprocess.run(
                ["umount", f"{short}/exec/netns/default"], capture_output=True, check=False
            )


def _wait(daemon: subprocess.Popen[bytes], environment: Mapping[str, str], log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while not _answers(environment):
        if daemon.poll() is not None:
            raise MissingEngineError("dockerd was started, and ended at once", log=log)
        if time.monotonic() > deadline:
            raise MissingEngineError(
                f"dockerd did not answer within {SECONDS_TO_START:.0f} s", log=log
            )
        time.sleep(0.2)
