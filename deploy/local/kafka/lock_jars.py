"""Resolve Kafka's jars anew and write the lock file: `python -m deploy.local.kafka.lock_jars`.

Run it to change the version of Kafka, and commit the result.
"""

import jgo
import typer
from jgo.maven import Artifact

from deploy.local.kafka.jars import LOCK, ROOTS, Jar, render, sha256


def locked(artifact: Artifact) -> Jar:
    """Download a resolved artifact into the cache, and return its line of the lock."""
    return Jar(
        group=artifact.groupId,
        artifact=artifact.artifactId,
        version=artifact.version,
        sha256=sha256(artifact.resolve()),
    )


def main() -> None:
    """Write the lock of `ROOTS` with all their runtime dependencies."""
    jars = {locked(artifact) for artifact in jgo.resolve("+".join(ROOTS))}
    LOCK.write_text(render(jars))
    typer.echo(f"{len(jars)} jars in {LOCK.name}")


if __name__ == "__main__":
    main()
