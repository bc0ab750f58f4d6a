"""Settings from the environment: which values are taken, and the line that names a wrong one."""

import os
import re
import ssl
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

import producer_sim.settings
from consumer.batch import BatchPolicy
from consumer.settings import (
    SECTIONS,
    DatabaseSettings,
    DeadLetterSettings,
    FlushSettings,
    GroupSettings,
    HistorySettings,
    Settings,
    SourceSettings,
)
from runtime.http.settings import HttpSettings
from runtime.kafka.settings import KafkaSettings
from runtime.logs import LogSettings
from runtime.settings import SettingsError, describe, load

NEEDED = {
    "KAFKA_BOOTSTRAP_SERVERS": "broker:9092",
    "DATABASE_URL": "postgresql://wattline:hunter2@database:5432/wattline",
}
SASL = {
    "KAFKA_BOOTSTRAP_SERVERS": "broker:9093",
    "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_PLAIN_USERNAME": "wattline",
    "KAFKA_SASL_PLAIN_PASSWORD": "hunter2",
    "KAFKA_SSL_PASSWORD": "hunter3",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Remove this machine's own settings."""
    names = {name for name, _, _ in describe(SECTIONS)}
    for name in list(os.environ):
        if name.upper() in names:
            monkeypatch.delenv(name)
    return monkeypatch


def given(environment: pytest.MonkeyPatch, **settings: str) -> None:
    for name, value in settings.items():
        environment.setenv(name, value)


def complaint(section: type[BaseSettings]) -> str:
    """Return the one line with which the section is refused."""
    with pytest.raises(SettingsError) as caught:
        load(section)
    line = str(caught.value)
    assert line.splitlines() == [line]
    return line


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("empty", [False, True])
def test_a_setting_that_is_missing_or_empty_is_named(
    environment: pytest.MonkeyPatch, name: str, empty: bool
) -> None:
    given(environment, **NEEDED)
    environment.delenv(name)
    if empty:
        environment.setenv(name, "")
    with pytest.raises(SettingsError) as caught:
        Settings()
    assert str(caught.value) == f"{name}: is not set"


WRONG: list[tuple[type[BaseSettings], str, list[str]]] = [
    (KafkaSettings, "KAFKA_BOOTSTRAP_SERVERS", ["broker", "broker:", ":9092", "a:1,", "a:1 b:2"]),
    (KafkaSettings, "KAFKA_BOOTSTRAP_SERVERS", ["a:1,,b:2", "a:x", "a:1\n", "a:1,b", ","]),
    (KafkaSettings, "KAFKA_SECURITY_PROTOCOL", ["SASL", "TLS", "PLAINTEXT,SSL", "0"]),
    (KafkaSettings, "KAFKA_SASL_MECHANISM", ["GSSAPI", "PLAIN\nforged"]),
    (DatabaseSettings, "DATABASE_URL", ["mysql://h/d", "host=h", "h:5432", "//h", "x\nforged"]),
    (DatabaseSettings, "DATABASE_RETRY_MAX_S", ["0", "-1", "nan", "soon"]),
    (DatabaseSettings, "DATABASE_LOCK_TIMEOUT_S", ["0", "-1", "1.5", "10s"]),
    (GroupSettings, "CONSUMER_GROUP", ["g" * 256]),
    (FlushSettings, "BATCH_MAX_ROWS", ["0", "-1", "many", "1.5", "1e4", "0x10", "\u0661x"]),
    (FlushSettings, "FLUSH_INTERVAL_MS", ["0", "-500", "500ms", "nan", "500\nforged"]),
    (FlushSettings, "DRAIN_TIMEOUT_S", ["0", "nan", "8s"]),
    (HistorySettings, "HISTORY_RETENTION_DAYS", ["0", "36501", "-1", "400.5", "400d", "1e99"]),
    (SourceSettings, "KAFKA_SESSION_TIMEOUT_MS", ["99999999999", "9" * 5_000]),
    (SourceSettings, "KAFKA_HEARTBEAT_INTERVAL_MS", ["86400001"]),
    (SourceSettings, "KAFKA_REBALANCE_TIMEOUT_MS", ["99999999999"]),
    (FlushSettings, "FLUSH_INTERVAL_MS", ["99999999999"]),
    (DeadLetterSettings, "DEAD_LETTER_RETENTION_DAYS", ["-1", "36501", "90d"]),
    (DeadLetterSettings, "DEAD_LETTERS_WHOLE_PER_HOUR", ["-1", "all", "1e3"]),
    (HistorySettings, "HISTORY_RETENTION_DAYS", ["9" * 5_000, "infinity", "true", "None"]),
    (HttpSettings, "HTTP_PORT", ["-1", "65536", "http", "80 80"]),
    (LogSettings, "LOG_LEVEL", ["LOUD", "10", "INFO,DEBUG"]),
    (LogSettings, "LOG_FORMAT", ["xml", "JSON "]),
    (SourceSettings, "KAFKA_SESSION_TIMEOUT_MS", ["0", "a minute"]),
]


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [(section, name, value) for section, name, values in WRONG for value in values],
    ids=lambda value: ascii(value)[:24] if isinstance(value, str) else "",
)
def test_a_setting_that_cannot_be_used_is_named_in_one_line(
    environment: pytest.MonkeyPatch, section: type[BaseSettings], name: str, value: str
) -> None:
    given(environment, **NEEDED)
    environment.setenv(name, value)
    assert complaint(section).startswith(f"{name}: ")
    with pytest.raises(SettingsError, match=f"^{name}: "):
        Settings()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://wattline:hun@ter2@database/wattline",
        "postgresql://wattline:@hunter@2@database:5432/wattline",
        "postgresql://wattline:54/hunter2@database/wattline",
        "postgresql://wattline:54/hunter@2@database/wattline?sslmode=require",
        "postgresql://wattline:hunter%zz@database/wattline",
        "postgresql://wattline:hun ter@database/wattline",
        "postgresql://wattline:x@database/wattline?password=hun ter",
        "postgresql://wattline:x@database/wattline?pass=hunter2",
        "postgresql://wattline:hunter2/@database",
    ],
)
def test_a_password_that_is_not_escaped_is_refused_and_no_part_of_it_is_shown(
    environment: pytest.MonkeyPatch, url: str
) -> None:
    given(environment, **NEEDED | {"DATABASE_URL": url})
    for section in (DatabaseSettings, producer_sim.settings.DatabaseSettings):
        line = complaint(section)
        assert line.startswith("DATABASE_URL: ")
        assert not re.search("hun|ter|database", line.removeprefix("DATABASE_URL"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://wattline:hun%40ter%2F2@database/wattline?application_name=a@b",
        "postgresql://wattline:hun?ter2@database",
        "postgresql://database/wattline?user=wattline&application_name=a/b@c",
        "postgresql:///wattline?host=/run/postgresql",
        "postgresql://a:1,b:2/wattline",
    ],
)
def test_a_url_that_is_escaped_is_taken(environment: pytest.MonkeyPatch, url: str) -> None:
    given(environment, **NEEDED | {"DATABASE_URL": url})
    assert load(DatabaseSettings).database_url.get_secret_value() == url


@pytest.mark.parametrize("servers", ["user:hunter2@broker:9092", "SASL_SSL://hunter2:9092"])
def test_a_brokers_address_contains_no_password(
    environment: pytest.MonkeyPatch, servers: str
) -> None:
    given(environment, **NEEDED | {"KAFKA_BOOTSTRAP_SERVERS": servers})
    assert "hunter" not in complaint(KafkaSettings)


@pytest.mark.parametrize("missing", ["KAFKA_SASL_PLAIN_USERNAME", "KAFKA_SASL_PLAIN_PASSWORD"])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_sasl_without_credentials_names_them(
    environment: pytest.MonkeyPatch, missing: str, protocol: str
) -> None:
    given(environment, **SASL | {"KAFKA_SECURITY_PROTOCOL": protocol})
    environment.delenv(missing)
    assert missing in complaint(KafkaSettings)


def test_defaults_are_the_contracts(environment: pytest.MonkeyPatch) -> None:
    given(environment, **NEEDED)
    settings = Settings()
    assert settings.source.consumer_group == "telemetry-consumer"
    assert settings.history.history_retention_days == 400
    assert settings.kafka.security_protocol == "PLAINTEXT"
    assert settings.source.kafka_topic_partitions == 12
    assert settings.log.log_format == "json"


@pytest.mark.parametrize("days", [1, 36_500])
def test_a_retention_of_1_to_36500_days_is_taken(
    environment: pytest.MonkeyPatch, days: int
) -> None:
    environment.setenv("HISTORY_RETENTION_DAYS", str(days))
    assert load(HistorySettings).history_retention_days == days


def test_an_empty_setting_is_its_default(environment: pytest.MonkeyPatch) -> None:
    given(environment, HISTORY_RETENTION_DAYS="", CONSUMER_GROUP="", LOG_LEVEL="")
    assert load(HistorySettings).history_retention_days == 400
    assert load(GroupSettings).consumer_group == "telemetry-consumer"
    assert load(LogSettings).log_level == "INFO"


def test_settings_of_the_environment_win(environment: pytest.MonkeyPatch) -> None:
    given(environment, **NEEDED, CONSUMER_GROUP="other", LOG_LEVEL="debug", HTTP_PORT="0")
    given(environment, BATCH_MAX_ROWS="7", BATCH_MAX_BYTES="65536", FLUSH_INTERVAL_MS="250")
    settings = Settings()
    assert settings.source.consumer_group == "other"
    assert settings.log.log_level == "DEBUG"
    assert settings.http.http_port == 0
    assert BatchPolicy.of(settings.flush) == BatchPolicy(max_rows=7, max_bytes=65_536, max_age=0.25)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://h/d",
        "postgresql://h1,h2:5433/d?sslmode=require",
        "postgresql://h1,h2/d?port=5433&target_session_attrs=read-write",
        "postgresql:///d?hostaddr=10.0.0.1,10.0.0.2&port=1,2&sslmode=verify-full&sslrootcert=system",
    ],
)
def test_every_kind_of_database_url_is_taken(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv("DATABASE_URL", url)
    assert load(DatabaseSettings).database_url.get_secret_value() == url


@pytest.mark.parametrize("servers", ["a:1", "a:1,b:2", "127.0.0.1:9092", "[::1]:9092"])
def test_one_broker_or_several_are_taken(environment: pytest.MonkeyPatch, servers: str) -> None:
    environment.setenv("KAFKA_BOOTSTRAP_SERVERS", servers)
    assert load(KafkaSettings).bootstrap_servers == servers


def test_other_variables_with_similar_names_are_ignored(environment: pytest.MonkeyPatch) -> None:
    given(environment, **NEEDED, KAFKA_HEAP_OPTS="-Xmx1g", KAFKA_="", DATABASE="x", LOG_="y")
    assert Settings().kafka.bootstrap_servers == "broker:9092"


def test_secrets_are_in_no_representation(environment: pytest.MonkeyPatch) -> None:
    given(environment, **NEEDED | SASL)
    settings = Settings()
    for section in (settings.kafka, settings.database):
        for shown in (repr(section), str(section), str(section.model_dump())):
            assert "hunter" not in shown
        assert "hunter" not in section.model_dump_json()
    assert "hunter" not in str(describe(SECTIONS))


@pytest.mark.parametrize(
    "wrong",
    [
        {"DATABASE_URL": "mysql://wattline:hunter2@database/wattline"},
        {"KAFKA_SASL_PLAIN_USERNAME": ""},
        {"KAFKA_SECURITY_PROTOCOL": "hunter2"},
        {"KAFKA_BOOTSTRAP_SERVERS": "hunter2"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_an_error_quotes_no_value(environment: pytest.MonkeyPatch, wrong: dict[str, str]) -> None:
    given(environment, **NEEDED | SASL | wrong)
    with pytest.raises(SettingsError) as caught:
        Settings()
    assert "hunter" not in str(caught.value)


def test_sections_are_frozen(environment: pytest.MonkeyPatch) -> None:
    given(environment, **NEEDED)
    for section in SECTIONS:
        loaded = load(section)
        with pytest.raises(ValueError, match="frozen"):
            setattr(loaded, next(iter(section.model_fields)), None)


def test_every_setting_is_described_once(environment: pytest.MonkeyPatch) -> None:
    rows = describe(SECTIONS)
    names = [name for name, _, _ in rows]
    assert len(set(names)) == len(names)
    assert {*NEEDED, *SASL, "CONSUMER_GROUP", "BATCH_MAX_ROWS", "FLUSH_INTERVAL_MS"} <= {*names}
    assert {"HISTORY_RETENTION_DAYS", "HTTP_PORT", "LOG_LEVEL", "LOG_FORMAT"} <= {*names}
    assert all(text for _, _, text in rows)
    assert {name for name, default, _ in rows if default == "required"} == {*NEEDED}
    defaults = {name: default for name, default, _ in rows}
    assert defaults["HISTORY_RETENTION_DAYS"] == "400"
    assert defaults["CONSUMER_GROUP"] == "telemetry-consumer"


def test_each_described_name_is_read_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    for section in SECTIONS:
        prefix = section.model_config.get("env_prefix", "")
        for field, information in section.model_fields.items():
            if information.annotation in (int, float):
                with environment.context() as alone:
                    given(alone, **NEEDED | {f"{prefix}{field}".upper(): "?"})
                    assert complaint(section).startswith(f"{prefix}{field}".upper())


def test_clients_are_given_the_credentials(environment: pytest.MonkeyPatch) -> None:
    given(environment, **SASL)
    kafka = load(KafkaSettings)
    assert kafka.aiokafka() == {
        "bootstrap_servers": "broker:9093",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "wattline",
        "sasl_plain_password": "hunter2",
    }
    assert kafka.librdkafka() == {
        "bootstrap.servers": "broker:9093",
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "wattline",
        "sasl.password": "hunter2",
        "ssl.key.password": "hunter3",
    }


def test_clients_without_security_are_given_the_address_alone(
    environment: pytest.MonkeyPatch,
) -> None:
    given(environment, **NEEDED)
    kafka = load(KafkaSettings)
    assert kafka.aiokafka() == {
        "bootstrap_servers": "broker:9092",
        "security_protocol": "PLAINTEXT",
    }
    assert kafka.librdkafka() == {
        "bootstrap.servers": "broker:9092",
        "security.protocol": "PLAINTEXT",
    }


def test_tls_checks_the_brokers_certificate_and_name(environment: pytest.MonkeyPatch) -> None:
    given(environment, **SASL | {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"})
    context = load(KafkaSettings).aiokafka()["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_certificate_file_that_is_not_there_is_a_wrong_setting(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given(environment, KAFKA_BOOTSTRAP_SERVERS="broker:9093", KAFKA_SECURITY_PROTOCOL="SSL")
    given(environment, KAFKA_SSL_CAFILE=str(tmp_path / "missing.pem"))
    with pytest.raises(SettingsError, match="KAFKA_SSL_CAFILE: "):
        load(KafkaSettings).aiokafka()


def test_secrets_are_kept_as_secrets(environment: pytest.MonkeyPatch) -> None:
    given(environment, **NEEDED | SASL)
    settings = Settings()
    assert isinstance(settings.database.database_url, SecretStr)
    assert isinstance(settings.kafka.sasl_plain_password, SecretStr)
    assert isinstance(settings.kafka.ssl_password, SecretStr)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://[::1/db",
        "postgresql://h/db?nonsense=1",
        "postgresql://u:se%zzcret@h/x",
        "postgresql://127.0.0.1:port/db",
        "postgresql://127.0.0.1:70000/db",
        "postgresql://h/db?sslmode=verify",
        "postgresql://h,i/db?target_session_attrs=master",
        "postgresql://h,i/db?load_balance_hosts=on",
        "postgresql://h,i,j/db?port=5432,5433",
    ],
)
def test_a_database_url_that_can_never_work_is_named_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(SettingsError, match="DATABASE_URL: ") as refusal:
        load(DatabaseSettings)
    assert "cret" not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("servers", ["h:0", "h:99999", "h:9092,i:65536"])
def test_a_port_that_does_not_exist_is_refused(
    monkeypatch: pytest.MonkeyPatch, servers: str
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", servers)
    with pytest.raises(SettingsError, match="KAFKA_BOOTSTRAP_SERVERS: "):
        load(KafkaSettings)


def test_a_missing_certificate_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "h:9092")
    monkeypatch.setenv("KAFKA_SSL_CAFILE", "/no/such/file")
    with pytest.raises(SettingsError, match="KAFKA_SSL_CAFILE: "):
        load(KafkaSettings)
