"""The lock of Kafka's jars: read, written, compared with the files."""

import hashlib
from pathlib import Path

import pytest

from deploy.local.errors import JarError
from deploy.local.kafka.jars import LOCK, ROOTS, Jar, class_path, parse, render, verify

JAR = Jar(group="org.example", artifact="thing", version="1.2", sha256="ab" * 32)


def test_the_committed_lock_names_every_root_and_is_as_render_writes_it() -> None:
    jars = parse(LOCK.read_text())
    assert set(ROOTS) <= {str(jar) for jar in jars}
    assert render(jars) == LOCK.read_text()


def test_the_committed_lock_holds_no_address_and_no_path() -> None:
    text = LOCK.read_text()
    assert "//" not in text
    assert "/" not in text.replace(" and ", "")


def test_a_jar_lies_where_maven_puts_it() -> None:
    assert JAR.path.as_posix() == "org/example/thing/1.2/thing-1.2.jar"


@pytest.mark.parametrize(
    "line",
    ["org.example:thing:1.2", "org.example:thing sha256:" + "ab" * 32, "a:b:c sha256:short", "?"],
)
def test_a_line_that_is_not_a_pin_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(JarError, match="line 2"):
        parse(f"# a comment\n{line}\n")


def test_a_file_that_differs_from_its_pin_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "thing-1.2.jar"
    file.write_bytes(b"not it")
    with pytest.raises(JarError, match=r"thing-1\.2\.jar is not org\.example:thing:1\.2"):
        verify(JAR, file)


def test_what_is_in_the_cache_is_verified_and_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    digest = hashlib.sha256(b"jar").hexdigest()
    jar = Jar(group="org.example", artifact="thing", version="1.2", sha256=digest)
    (tmp_path / jar.path).parent.mkdir(parents=True)
    (tmp_path / jar.path).write_bytes(b"jar")
    lock = tmp_path / "lock"
    lock.write_text(render([jar]))

    assert class_path(lock=lock) == (tmp_path / jar.path,)

    (tmp_path / jar.path).write_bytes(b"another")
    with pytest.raises(JarError, match="delete the file"):
        class_path(lock=lock)
