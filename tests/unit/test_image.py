"""The images contain what the code needs. No image is built here."""

import re

from consumer.postgres.migrations import schema_files
from deploy.replica import ROOT

COPIED = {
    source
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    for source in line.split()
}


def test_every_copied_file_exists_and_is_in_the_build_context() -> None:
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    assert all((ROOT / source).exists() for source in COPIED)
    assert let_through == COPIED


def test_the_consumer_has_the_whole_schema() -> None:
    assert {file.relative_to(ROOT).parts[0] for file in schema_files()} <= COPIED
