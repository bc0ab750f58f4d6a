"""The images contain what the code needs. No image is built here: `make image` does that."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from consumer.postgres.migrations import schema_files
from deploy.images import base, build, stand_ins
from deploy.images.build import faults
from deploy.images.inventory import Inventory
from deploy.replica import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
STAND_INS = (stand_ins.CONTEXT / "Dockerfile").read_text()
COPIED = {
    source
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M)
    for source in line.split()
}
PACKAGES = {"telemetry", "runtime", "energy", "consumer", "api", "producer_sim"}
HEALTHY = {
    "Healthcheck": {"Test": ["CMD", "python"]},
    "Labels": {f"{build.LABEL}.{name}": "one" for name in ("title", "licenses", "version")},
}


def stages(dockerfile: str) -> dict[str, tuple[str, str]]:
    """Return of each stage what it begins with, and its lines."""
    parts = re.split(r"^FROM (\S+) AS (\S+)\n", dockerfile, flags=re.M)[1:]
    return {
        name: (below, lines)
        for below, name, lines in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    }


def code_of(stage: str) -> set[str]:
    """Return our packages that an image holds, from its stage and those below."""
    if stage not in stages(DOCKERFILE):
        return set()
    below, lines = stages(DOCKERFILE)[stage]
    return PACKAGES.intersection(re.findall(r"^COPY --from=code /app/(\S+) ", lines, re.M)) | (
        code_of(below)
    )


def imported_by(package: str) -> set[str]:
    """Return our packages that a package imports, anywhere in its code."""

    files = (ROOT / package).rglob("*.py")
    found = (re.findall(r"^\s*(?:from|import) (\w+)", file.read_text(), re.M) for file in files)
    return PACKAGES & set().union(*found)


def test_every_copied_file_exists_and_is_in_the_build_context() -> None:
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    assert all((ROOT / source).exists() for source in COPIED)
    assert let_through == COPIED


def test_the_consumer_has_the_whole_schema() -> None:
    assert {file.relative_to(ROOT).parts[0] for file in schema_files()} <= COPIED


@pytest.mark.parametrize("target", build.TARGETS)
def test_an_image_has_all_code_that_its_code_imports_and_no_more(target: str) -> None:
    held = code_of(target)
    [program] = re.findall(
        r'^ENTRYPOINT \["python", "-m", "(\w+)"\]$', stages(DOCKERFILE)[target][1], re.M
    )
    wanted = {program}
    while more := set().union(*map(imported_by, wanted)) - wanted:
        wanted |= more
    assert held == wanted


@pytest.mark.parametrize("dockerfile", [DOCKERFILE, STAND_INS], ids=["ours", "stand-ins"])
def test_the_base_is_the_only_image_that_a_registry_is_asked_for(dockerfile: str) -> None:
    # A line `# syntax=` would ask for a frontend.
    assert "# syntax" not in dockerfile
    assert re.findall(r"^ARG BASE=(.*)$", dockerfile, re.M) == [base.BASE]
    found = stages(dockerfile)
    assert {below for below, _ in found.values()} - found.keys() == {"${BASE}"}


def test_no_architecture_is_named() -> None:
    assert not re.search(r"--platform|amd64|arm64|x86|aarch", DOCKERFILE)


def test_each_image_of_docker_compose_is_built_or_stood_in_for_but_one() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    built = {one["image"] for one in services.values() if "build" in one}
    foreign = {one["image"] for one in services.values() if "build" not in one}
    assert built == set(map(build.name_of, build.TARGETS))
    stood_in_for = {image for image in foreign if stand_ins.stand_in(image)}
    assert [image.partition(":")[0] for image in foreign - stood_in_for] == ["grafana/grafana"]
    assert {stand_ins.stand_in(image) for image in stood_in_for} == set(
        map(stand_ins.name_of, stand_ins.PROGRAMS)
    )
    assert set(stages(STAND_INS)) == set(stand_ins.PROGRAMS)


@pytest.fixture
def inventory() -> Inventory:
    return Inventory(
        user=10001,
        writable=(),
        markers={},
        distribution="debian-13",
        libraries=(),
        packages=(),
    )


def test_an_image_as_it_must_be_has_no_faults(inventory: Inventory) -> None:
    assert faults(inventory, HEALTHY, server=True) == []
    assert faults(inventory, HEALTHY | {"Healthcheck": None}, server=False) == []


def test_each_fault_of_an_image_is_named(inventory: Inventory) -> None:
    root = Inventory(**{**vars(inventory), "user": 0, "writable": ("/app", "/venv")})
    assert faults(inventory, HEALTHY, server=False) == ["it has a health check"]
    assert faults(root, {"Labels": None}, server=True) == [
        "it runs as user 0",
        "its user can write to /app, /venv",
        "its health check is missing",
        "it has no label title, licenses, version",
    ]


def test_without_docker_one_line_says_what_is_missing(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.images", "build", "--dir", str(tmp_path)],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        "error: images need docker, which is not installed; on Debian: apt-get install docker.io\n"
    )
