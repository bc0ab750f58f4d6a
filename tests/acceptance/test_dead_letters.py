"""Dead letters as an operator meets them: listed, shown, exported, purged, by the command line."""

import base64
import json
import re
import shlex
import sys
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from api.__main__ import app as api
from consumer.__main__ import app, main
from deploy.replica import ROOT
from tests.acceptance.conftest import Environment, query
from tests.acceptance.dead_letters import command, write_letters


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("list", 0),
        ("list --reason malformed_json", 0),
        ("show telemetry.meter 0 3", 1),
        ("redrive", 0),
        ("redrive --dry-run", 0),
        ("export", 0),
        ("purge --older-than 1m --yes", 0),
        ("purge --older-than 1m --dry-run", 0),
    ],
)
def test_a_user_who_forgets_the_group_is_told_which_one_was_asked_and_which_others_have_letters(
    own_environment: Environment, arguments: str, code: int
) -> None:
    write_letters(own_environment, "telemetry.meter", 9)
    forgotten = {k: v for k, v in own_environment.items() if k != "CONSUMER_GROUP"}
    ended = command(forgotten, *arguments.split())
    assert ended.returncode == code
    said = " ".join((ended.stdout + ended.stderr).split())
    count = 1 if arguments.startswith("show") else 9
    assert "telemetry-consumer (CONSUMER_GROUP) has no " in said
    assert f"; other groups have: {own_environment['CONSUMER_GROUP']} {count}" in said
    other = command(forgotten, "list", "--reason", "too_old")
    assert other.stdout == "telemetry-consumer (CONSUMER_GROUP) has no such dead letters\n"


def test_an_export_is_every_letter_whole_and_never_overwrites(
    own_environment: Environment, tmp_path: Path
) -> None:
    write_letters(own_environment, "telemetry.meter", 250)
    file = tmp_path / "letters.jsonl"
    written = command(own_environment, "export", "--file", str(file))
    assert written.returncode == 0
    lines = file.read_text()
    letters = [json.loads(line) for line in lines.splitlines()]
    assert [int(base64.b64decode(letter["value"])) for letter in letters] == [*range(1, 251)]
    assert command(own_environment, "export").stdout == lines

    refused = command(own_environment, "export", "--file", str(file))
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    one = ("--topic", "telemetry.meter", "--partition", "0", "--offset", "7")
    assert command(own_environment, "export", "--file", str(file), "--force", *one).returncode == 0
    assert json.loads(file.read_text())["offset"] == 7
    nowhere = command(
        own_environment | {"DATABASE_URL": "postgresql://127.0.0.1:9/x"},
        *("export", "--file", str(file), "--force"),
    )
    assert nowhere.returncode == 1
    assert len(nowhere.stderr.splitlines()) == 1
    assert json.loads(file.read_text())["offset"] == 7, "it was replaced only by a whole one"
    assert list(tmp_path.iterdir()) == [file]


def test_a_letter_that_is_not_whole_is_told_by_every_command(
    own_environment: Environment,
) -> None:
    write_letters(own_environment, "telemetry.meter", 3)
    with psycopg.connect(own_environment["DATABASE_URL"]) as connection:
        connection.execute(
            "UPDATE dead_letter SET is_whole = false, key_bytes = 7, value_bytes = 5000,"
            " value_sha256 = sha256('x'), header_count = 2 WHERE record_offset = 2"
        )
    listed = command(own_environment, "list").stdout
    assert "not whole" in listed
    assert [line.count(" beginning ") for line in listed.splitlines()].count(1) == 1
    shown = command(own_environment, "show", "telemetry.meter", "0", "2").stdout
    assert "the beginning of a key of 7 bytes, 2 headers, a value of 5,000 bytes" in shown
    assert sha256(b"x").hexdigest() in shown
    planned = command(own_environment, "redrive", "--dry-run").stdout
    assert planned.endswith("would send 2, leave out 0 already redriven, 1 not whole\n")


def test_of_a_huge_letter_the_beginning_is_shown(own_environment: Environment) -> None:
    write_letters(own_environment, "telemetry.meter", 3)
    with psycopg.connect(own_environment["DATABASE_URL"]) as connection:
        connection.execute(
            "UPDATE dead_letter SET value = repeat('v', 4000000)::bytea,"
            " key = repeat('k', 70000)::bytea,"
            " headers = jsonb_build_array(jsonb_build_array('n', repeat('h', 70000)))"
            " WHERE record_offset = 2"
        )
    shown = command(own_environment, "show", "telemetry.meter", "0", "2").stdout
    assert [shown.count(letter) // 1_000 for letter in "vkh"] == [65, 65, 65]
    assert "`export` has all 4,000,000 bytes" in shown
    assert "`export` has all 70,000 bytes" in shown
    assert "`export` has all of them" in shown


def test_a_purge_wants_a_yes_and_deletes_by_age(own_environment: Environment) -> None:
    write_letters(own_environment, "telemetry.meter", 40)  # one for each of the last 40 days
    asked = command(own_environment, "purge", "--older-than", "30d")
    assert (asked.returncode, asked.stdout) == (2, "")
    assert "--yes" in asked.stderr
    planned = command(own_environment, "purge", "--older-than", "30d", "--dry-run")
    assert planned.returncode == 0
    assert planned.stdout.endswith("would delete 11\n")
    assert query(own_environment, "SELECT count(*) FROM dead_letter") == [(40,)]
    none = command(own_environment, "purge", "--older-than", "30d", "--redriven-only", "--yes")
    assert none.stdout.endswith("deleted 0\n")
    done = command(own_environment, "purge", "--older-than", "30d", "--yes")
    assert done.returncode == 0
    assert done.stdout.endswith("deleted 11\n")
    left = query(own_environment, "SELECT min(record_offset), max(record_offset) FROM dead_letter")
    assert left == [(1, 29)]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["redrive", "--topic", "nonsense"], "--topic"),
        (["redrive", "--partition", "3"], "--topic"),
        (["redrive", "--topic", "telemetry.meter", "--offset", "3"], "--partition"),
        (["export", "--since", "yesterday"], "--since"),
        (["list", "--until", "2026-02-30T00:00:00Z"], "--until"),
        (["purge", "--older-than", "a month", "--yes"], "--older-than"),
        (["purge", "--older-than", "999999d", "--yes"], "--older-than"),
        (["purge", "--older-than", "800000d", "--yes"], "--older-than"),
        (["list", "--since", "9999-12-31T23:59:59-23:59"], "--since"),
        (["redrive", "--until", "9999-12-31T23:59:59-00:01"], "--until"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    arguments: list[str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:9/x")
    monkeypatch.setattr(sys, "argv", ["consumer", "dead-letters", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert named in line


def test_every_command_of_the_runbook_runs(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is wrong use. An answer such as "no such dead letter" is fine."""
    text = (ROOT / "docs" / "runbook.md").read_text()
    shown = re.findall(r"^ {4,}((?:[A-Z_]+=|python |psql ).+)$", text, re.MULTILINE)
    assert len(shown) >= 15
    monkeypatch.chdir(tmp_path)
    for line in shown:
        words = shlex.split(line, comments=True)
        if words[0] == "psql":
            for statement in words[3::2]:
                with psycopg.connect(environment["DATABASE_URL"]) as connection:
                    connection.execute(statement.encode())
            continue
        start = words.index("python")
        settings = dict(word.split("=") for word in words[:start])
        program = {"consumer": app, "api": api}[words[start + 2]]
        ended = CliRunner().invoke(program, words[start + 3 :], env=environment | settings)
        assert ended.exit_code in (0, 1), (line, ended.output)
        assert ended.exception is None or isinstance(ended.exception, SystemExit), line
