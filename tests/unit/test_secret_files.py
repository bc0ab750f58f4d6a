"""Secrets in files: NAME_FILE stands for NAME, and a rotated file is read again."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings
from structlog.testing import capture_logs

import api.settings
import consumer.settings
from api.settings import AccessSettings, PoolSettings
from consumer.settings import DatabaseSettings
from producer_sim.settings import ProductSettings
from runtime.kafka.settings import KafkaSettings, Password
from runtime.postgres.settings import is_unchecked, warn_if_unchecked
from runtime.secret_file import MOST_BYTES
from runtime.settings import SettingsError, load, settings_help
from tests.acceptance.program import run

URL, OTHER_URL = "postgresql://w:hunter2@h/d", "postgresql://w:hunter3@h/d"
SASL = {
    "KAFKA_BOOTSTRAP_SERVERS": "broker:9093",
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_PLAIN_USERNAME": "wattline",
}
TOKENS = {
    "KAFKA_BOOTSTRAP_SERVERS": "broker:9093",
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
    "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": "https://provider.test/token",
    "KAFKA_SASL_OAUTHBEARER_CLIENT_ID": "wattline",
    "KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": "hunter7",
}

Give = Callable[..., Path]


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Give:
    """Write a secret to a file, name the file by the setting, and return it."""

    def one(name: str, text: str | bytes) -> Path:
        file = tmp_path / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        monkeypatch.setenv(f"{name}_FILE", str(file))
        return file

    for name in list(os.environ):
        if name.startswith(("DATABASE_", "KAFKA_", "API_", "PG")):
            monkeypatch.delenv(name)
    return one


def complaint(section: type[BaseSettings]) -> str:
    with pytest.raises(SettingsError) as caught:
        load(section)
    line = str(caught.value)
    assert line.splitlines() == [line]
    assert "hunter" not in line
    return line


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_every_kind_of_secret_may_be_in_a_file(
    give: Give, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    for name, text in (SASL | {"KAFKA_SASL_MECHANISM": "PLAIN"}).items():
        monkeypatch.setenv(name, text)
    give("DATABASE_URL", URL + end)
    give("DATABASE_READ_URL", OTHER_URL + end)
    give("KAFKA_SASL_PLAIN_PASSWORD", "pass word\n" + end)
    give("API_KEY", "key" + end)
    give("API_KEYS", "A" * 64 + end)
    assert load(DatabaseSettings).database_url.get_secret_value() == URL
    pool = load(PoolSettings)
    assert pool.database_read_url is not None
    assert pool.database_read_url.get_secret_value() == OTHER_URL
    assert load(ProductSettings).key == "key"
    assert load(AccessSettings).digests == (b"\xaa" * 32,)
    expected = "pass word\n" if end else "pass word"  # one newline is cut, and no more
    kafka = load(KafkaSettings)
    assert kafka.aiokafka()["sasl_plain_password"] == expected
    assert kafka.librdkafka()["sasl.password"] == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        (b"\xff\xfe", "is not UTF-8"),
        ("x" * (MOST_BYTES + 1), "is larger than 65,536 bytes"),
        ("mysql://hunter2", "should start with postgresql://"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(give: Give, text: str | bytes, said: str) -> None:
    give("DATABASE_URL", text)
    assert complaint(DatabaseSettings) == f"DATABASE_URL_FILE: {said}"


@pytest.mark.parametrize("path", ["/no/hunter2", "/", "/dev/null", "pipe"])
def test_a_path_that_cannot_be_read_is_not_quoted(
    give: Give, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str
) -> None:
    os.mkfifo(tmp_path / "pipe")  # nobody writes to it
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL_FILE", path)
    line = complaint(DatabaseSettings)
    assert line.startswith(("DATABASE_URL_FILE: cannot be read: ", "DATABASE_URL_FILE: is not a"))
    assert path not in line.removeprefix("DATABASE_URL_FILE: ") or path == "/"


def test_a_secret_that_is_given_twice_is_refused(
    give: Give, monkeypatch: pytest.MonkeyPatch
) -> None:
    give("DATABASE_URL", URL)
    monkeypatch.setenv("DATABASE_URL", URL)
    assert complaint(DatabaseSettings) == (
        "DATABASE_URL, DATABASE_URL_FILE: both are set; set one of them"
    )
    monkeypatch.setenv("DATABASE_URL", "")  # which is not set
    assert load(DatabaseSettings).database_url.get_secret_value() == URL


def test_only_secrets_are_read_from_files(give: Give) -> None:
    give("DATABASE_URL", URL)
    give("DATABASE_CONNECT_TIMEOUT_S", "60")
    assert load(DatabaseSettings).database_connect_timeout_s == 5


def test_a_rotated_secret_is_used_and_one_that_cannot_be_used_is_not(give: Give) -> None:
    file = give("DATABASE_URL", URL)
    url = load(DatabaseSettings).database_url
    file.write_text(f"{OTHER_URL}\n")
    with capture_logs() as lines:
        assert [url.get_secret_value() for _ in range(2)] == [OTHER_URL] * 2
        file.unlink()
        assert [url.get_secret_value() for _ in range(2)] == [OTHER_URL] * 2
        file.write_text("mysql://hunter4")
        assert [url.get_secret_value() for _ in range(2)] == [OTHER_URL] * 2
        file.write_text(URL)
        assert url.get_secret_value() == URL
    assert [(line["event"], line.get("error")) for line in lines] == [
        ("secret_renewed", None),
        ("secret_unusable", "cannot be read: No such file or directory"),
        ("secret_unusable", "cannot be used"),
        ("secret_renewed", None),
    ]
    assert {line["setting"] for line in lines} == {"DATABASE_URL_FILE"}
    assert "hunter" not in str(lines)
    assert "hunter" not in repr(url)


def test_a_password_that_was_given_to_a_client_knows_the_rotated_one(
    give: Give, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in SASL.items():
        monkeypatch.setenv(name, text)
    file = give("KAFKA_SASL_PLAIN_PASSWORD", "hunter2")
    kafka = load(KafkaSettings)
    version, given = kafka.version(), kafka.aiokafka()["sasl_plain_password"]
    file.write_text("hunter3")
    assert isinstance(given, Password)
    assert (given, given.secret.get_secret_value()) == ("hunter2", "hunter3")
    assert kafka.version() != version


@pytest.mark.parametrize("sections", [consumer.settings.SECTIONS, api.settings.SECTIONS])
def test_help_names_the_secrets_that_may_be_in_files(
    sections: tuple[type[BaseSettings], ...],
) -> None:
    _, rule, *_ = settings_help(sections).split("\n\n")
    assert rule.startswith("In a file instead, which NAME_FILE names: KAFKA_SASL_PLAIN_PASSWORD, ")
    assert "DATABASE_URL" in rule
    assert "KAFKA_SASL_PLAIN_USERNAME" not in rule


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"_TOKEN_ENDPOINT_URL": "http://provider.test/token"},
            "_TOKEN_ENDPOINT_URL: should begin",
        ),
        ({"_TOKEN_ENDPOINT_URL": "https://u:hunter2@h/t"}, "_TOKEN_ENDPOINT_URL: should be a URL"),
        ({"_TOKEN_ENDPOINT_URL": "file:///etc/passwd"}, "_TOKEN_ENDPOINT_URL: should be a URL"),
        ({"_TOKEN_ENDPOINT_URL": "https://[::1/t"}, "_TOKEN_ENDPOINT_URL: is not a URL"),
        ({"_TOKEN_ENDPOINT_URL": "https://h:x/t"}, "_TOKEN_ENDPOINT_URL: is not a URL"),
        (
            {"_CLIENT_SECRET": ""},
            "_CLIENT_SECRET: needed with KAFKA_SECURITY_PROTOCOL=SASL_SSL and",
        ),
        ({"_CLIENT_ID": ""}, "_CLIENT_SECRET: needed with KAFKA_SECURITY_PROTOCOL=SASL_SSL and"),
        ({"_CAFILE": "/no/such/file"}, "_CAFILE: "),
    ],
)
def test_settings_of_tokens_that_cannot_be_used_are_named(
    give: Give, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], said: str
) -> None:
    for name, text in TOKENS.items():
        monkeypatch.setenv(name, text)
    for name, text in wrong.items():
        monkeypatch.setenv(f"KAFKA_SASL_OAUTHBEARER{name}", text)
    assert f"KAFKA_SASL_OAUTHBEARER{said}" in complaint(KafkaSettings)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/t", "http://[::1]:1/t", "http://localhost/t"])
def test_a_token_endpoint_on_this_machine_may_be_without_tls(
    give: Give, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    settings = TOKENS | {"KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": url}
    for name, text in settings.items():
        monkeypatch.setenv(name, text)
    configuration = load(KafkaSettings).librdkafka()
    assert configuration["sasl.oauthbearer.token.endpoint.url"] == url
    assert configuration["sasl.oauthbearer.method"] == "oidc"
    assert "sasl.password" not in configuration


@pytest.mark.parametrize(
    ("url", "unchecked"),
    [
        ("postgresql://h/d", True),
        ("postgresql://localhost,h/d", True),
        ("postgresql://localhost/d?hostaddr=10.0.0.1", True),
        ("postgresql://h/d?sslmode=prefer", False),
        ("postgresql://localhost:5432/d", False),
        ("postgresql://127.0.0.2/d", False),
        ("postgresql://[::1]/d", False),
        ("postgresql:///d?host=/run/postgresql", False),
        ("postgresql:///d", False),
    ],
)
def test_a_url_to_another_machine_without_sslmode_is_warned_of_in_one_line(
    give: Give, url: str, unchecked: bool
) -> None:
    assert is_unchecked(url) == unchecked
    section = PoolSettings(database_url=url, database_read_url=url)
    with capture_logs() as lines:
        warn_if_unchecked(
            database_url=section.database_url, database_read_url=section.database_read_url
        )
    names = [line["settings"] for line in lines]
    assert names == ([["DATABASE_URL", "DATABASE_READ_URL"]] if unchecked else [])


@pytest.mark.parametrize(
    "command", ["consumer run", "api run", "producer_sim verify x", "consumer partitions list"]
)
def test_every_program_refuses_a_file_that_is_not_there(
    give: Give, tmp_path: Path, command: str
) -> None:
    give("DATABASE_URL", URL).unlink()
    ended = run({"KAFKA_BOOTSTRAP_SERVERS": "h:1"}, *command.split())
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert "DATABASE_URL_FILE: cannot be read: No such file or directory" in line
