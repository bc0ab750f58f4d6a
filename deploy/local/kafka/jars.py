"""Kafka's jars: pinned in a lock file, kept in the user's usual cache of Java artifacts.

Only what the lock names is fetched, by its coordinates: nothing is resolved on a user's machine.
`python -m deploy.local.kafka.lock_jars` resolves the jars anew and writes the lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tenacity
import truststore

from deploy.local.errors import JarError, MissingPartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LOCK = Path(__file__).with_name("jars.lock")
KAFKA_VERSION = "4.1.1"
ROOTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
DOWNLOADS_AT_ONCE = 4
SHA256_HEX = 64


@dataclass(frozen=True, kw_only=True)
class Jar:
    """One line of the lock: a jar's coordinates in a repository, and its SHA-256 in hex."""

    group: str
    artifact: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def path(self) -> Path:
        """Its file in a repository with Maven's layout, relative to the root."""
        file = f"{self.artifact}-{self.version}.jar"
        return Path(*self.group.split("."), self.artifact, self.version, file)


def parse(text: str) -> tuple[Jar, ...]:
    """Return the jars of a lock, lines of `group:artifact:version sha256:hex`; raises JarError."""
    jars = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        coordinates, _, digest = line.strip().partition(" sha256:")
        parts = coordinates.split(":")
        if len(parts) != 3 or not all(parts) or len(digest) != SHA256_HEX:  # noqa: PLR2004  the three of a jar
            raise JarError(f"{LOCK.name}: line {number} is not 'group:artifact:version sha256:…'")
        jars.append(Jar(group=parts[0], artifact=parts[1], version=parts[2], sha256=digest))
    return tuple(jars)


def render(jars: Iterable[Jar]) -> str:
    """Return the sorted lock of these jars; the reverse of `parse`."""
    lines = sorted(f"{jar} sha256:{jar.sha256}" for jar in jars)
    head = (
        f"# What Apache Kafka {KAFKA_VERSION} runs on: {' and '.join(ROOTS)}",
        "# with their runtime dependencies. Written by python -m deploy.local.kafka.lock_jars.",
    )
    return "\n".join((*head, *lines)) + "\n"


def cache() -> Path:
    """Return the user's repository of Java artifacts, the one that jgo and Maven use."""
    return Path(os.environ.get("M2_REPO") or Path.home() / ".m2" / "repository")


def sha256(file: Path) -> str:
    """Return the file's SHA-256 in hex; raises OSError."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def verify(jar: Jar, file: Path) -> None:
    """Raise JarError when the file is not the jar of the lock."""
    found = sha256(file)
    if found != jar.sha256:
        raise JarError(
            f"{file} is not {jar} of {LOCK.name} (its SHA-256 is {found[:12]}…, "
            f"not {jar.sha256[:12]}…): delete the file and try again"
        )


def silent(_done: int, _total: int) -> None:
    """Ignore how far the download is."""


def class_path(*, lock: Path = LOCK, told: Callable[[int, int], None] = silent) -> tuple[Path, ...]:
    """Return the files of all jars of the lock, verified; those that are missing are downloaded.

    `told` is called with the number of jars downloaded and to download. Raises JarError.
    """
    jars, repository = parse(lock.read_text()), cache()
    missing = [jar for jar in jars if not (repository / jar.path).exists()]
    if missing:
        _download(missing, repository, told)
    files = tuple(repository / jar.path for jar in jars)
    for jar, file in zip(jars, files, strict=True):
        verify(jar, file)  # at every start: 46 jars take 0.1 s
    return files


def _download(missing: list[Jar], repository: Path, told: Callable[[int, int], None]) -> None:
    """Fetch into a folder beside the cache, verify, then move each jar into it in one step.

    So an interrupted download never leaves half a jar in the cache, where others would trust it.
    """
    repository.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".wattline-", dir=repository))
    pool = ThreadPoolExecutor(DOWNLOADS_AT_ONCE)
    # Trust the machine's certificates: a company's proxy may sign with its own.
    truststore.inject_into_ssl()
    try:
        told(0, len(missing))
        jobs = [pool.submit(_fetch, jar, aside, repository) for jar in missing]
        for done, job in enumerate(as_completed(jobs), start=1):
            job.result()
            told(done, len(missing))
    finally:
        pool.shutdown(cancel_futures=True)
        truststore.extract_from_ssl()
        shutil.rmtree(aside, ignore_errors=True)


def _fetch(jar: Jar, aside: Path, repository: Path) -> None:
    try:
        import requests  # noqa: PLC0415
        from jgo.config import GlobalSettings  # noqa: PLC0415 - 0.2 s, and only a download needs it
        from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415
        from jgo.maven import MavenContext  # noqa: PLC0415
    except ImportError as error:
        raise MissingPartError(
            "jgo, which downloads Kafka's jars, is not installed: pip install '.[local]'"
        ) from error
    # A mirror in the user's configuration of jgo is asked too, or instead ("central = …").
    remotes = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    context = MavenContext(repo_cache=aside, remote_repos=remotes, timeout=30)
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type((requests.RequestException, RuntimeError)),
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_exponential(max=4),
        before_sleep=lambda _: (aside / jar.path).unlink(missing_ok=True),
        reraise=True,
    )
    def attempt() -> None:
        artifact.resolve()

    try:
        attempt()
    except requests.RequestException as error:
        raise JarError(
            "Kafka's jars cannot be downloaded, the Java registry does not answer: "
            f"{type(error).__name__} at {jar}"
        ) from error
    except RuntimeError as error:
        raise JarError(f"Kafka's jars cannot be downloaded: {jar} is not available") from error
    verify(jar, aside / jar.path)
    (repository / jar.path).parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (aside / jar.path).replace(repository / jar.path)
