"""Settings from the environment: how one is loaded, and those that more than one part has."""

import re
import ssl
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

import psycopg
from aiokafka.helpers import create_ssl_context
from psycopg.conninfo import conninfo_to_dict
from pydantic import (
    AfterValidator,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableSetting

LAST_PORT = 65_535

ENVIRONMENT = SettingsConfigDict(frozen=True, env_ignore_empty=True)

Section = TypeVar("Section", bound=BaseSettings)


class SettingsError(Exception):
    """A setting is missing or cannot be used. The message is one line that names it."""


def load(section: type[Section]) -> Section:
    """Read one section from the environment; raises SettingsError."""
    try:
        return section()
    except UnreadableSetting as error:
        raise SettingsError(str(error)) from error
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        prefix = section.model_config.get("env_prefix", "")
        name = f"{prefix}{'_'.join(map(str, fault['loc']))}".upper()
        problem = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "missing":
            problem = "is not set"
        raise SettingsError(f"{name}: {problem}" if fault["loc"] else problem) from None


def describe_sections(sections: Iterable[type[BaseSettings]]) -> list[tuple[str, str, str]]:
    """Return (name, default, description) of every setting, for people."""
    rows = []
    for section in sections:
        prefix = section.model_config.get("env_prefix", "")
        for name, field in section.model_fields.items():
            default = "required" if field.is_required() else str(field.default)
            shown = "" if field.default is None else default
            rows.append((f"{prefix}{name}".upper(), shown, field.description or ""))
    return rows


_URL_CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": (
        "any", "read-write", "read-only", "primary", "standby", "prefer-standby",
    ),
    "load_balance_hosts": ("disable", "random"),
}  # fmt: skip


# libpq ends the user and the password at the first @, unless a / comes before it. The rest of a
# password that holds one would be a host or a database, whose names errors and logs tell.
_PLAIN_URL = re.compile(r"[a-z]+://([^@/]*@)?[^@?]*(\?.*)?", re.DOTALL)


def check_postgres_url(text: str) -> None:
    """Raise ValueError where PostgreSQL's clients could not use the URL.

    The message never quotes it: what is at fault may be a part of the password.
    """
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("should start with postgresql://")
    if not _PLAIN_URL.fullmatch(text):
        raise ValueError("has an @ too many: in a password write %40 for @, and %2F for /")
    try:
        parts = conninfo_to_dict(text)
    except psycopg.ProgrammingError:
        raise ValueError("is no URL that PostgreSQL understands") from None
    # libpq's parser takes any text for a value. What cannot be used is a wrong setting, and would
    # be waited for like a server that is away. No port means the default.
    ports = str(parts.get("port") or "").split(",")
    if not all(port.isdecimal() and 0 < int(port) <= LAST_PORT for port in ports if port):
        raise ValueError(f"its port should be a number from 1 to {LAST_PORT}")
    hosts = str(parts.get("hostaddr") or parts.get("host") or "").split(",")
    if len(ports) not in (1, len(hosts)):
        raise ValueError("it should have one port, or as many as hosts")
    for name, choices in _URL_CHOICES.items():
        if parts.get(name, choices[0]) not in choices:
            raise ValueError(f"its {name} should be one of {', '.join(choices)}")


def _is_a_url(url: SecretStr) -> SecretStr:
    check_postgres_url(url.get_secret_value())
    return url


PostgresUrl = Annotated[
    SecretStr,
    AfterValidator(_is_a_url),
    Field(description="postgresql://user:password@host:port/database"),
]
ConnectTimeout = Annotated[int, Field(ge=1, le=3_600, description="seconds to connect")]
GroupName = Annotated[str, Field(min_length=1, max_length=255)]
RetentionDays = Annotated[int, Field(ge=1, le=36_500)]


class HttpSettings(BaseSettings):
    """Where health and metrics are served, and what a client may take of the server."""

    model_config = ENVIRONMENT

    http_host: str = Field("127.0.0.1", description="address to listen on")
    http_port: int = Field(8080, ge=0, le=LAST_PORT, description="port; 0 picks a free one")
    http_max_connections: int = Field(
        100, ge=1, le=1_000_000, description="open at a time; half the descriptors at the most"
    )
    http_max_connections_per_address: int = Field(
        0, ge=0, le=1_000_000, description="of these from one address; 0: unbound"
    )
    http_max_head_bytes: int = Field(
        64 << 10, ge=1 << 10, le=1 << 20, description="bytes of a request's head; then 431"
    )
    http_max_headers: int = Field(
        100, ge=10, le=10_000, description="headers of a request; then 431"
    )
    http_head_timeout_s: float = Field(
        10.0, gt=0, le=3_600, description="seconds for a head, the first from connecting; then 408"
    )
    http_body_timeout_s: float = Field(
        60.0, gt=0, le=86_400, description="seconds for a body, while it is read; then 408"
    )
    http_idle_timeout_s: float = Field(
        30.0, gt=0, le=86_400, description="seconds from an answer to the next request"
    )
    http_write_timeout_s: float = Field(
        30.0, gt=0, le=86_400, description="seconds for each 16 KiB of an answer to be taken"
    )


class LogSettings(BaseSettings):
    """What is logged, and how."""

    model_config = ENVIRONMENT

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="least level"
    )
    log_format: Literal["json", "console"] = Field("json", description="json or console")

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level


class KafkaSettings(BaseSettings):
    """How to reach the brokers. The security settings carry aiokafka's names."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_", frozen=True, env_ignore_empty=True)

    bootstrap_servers: str = Field(
        pattern=r"^[^\s,@/]+:\d+(,[^\s,@/]+:\d+)*$", description="host:port, comma-separated"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="how the connection is secured"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="PLAIN", description="with SASL_…: how the client proves who it is"
    )
    sasl_plain_username: str | None = Field(default=None, description="with SASL_…: the user")
    sasl_plain_password: SecretStr | None = Field(
        default=None, description="with SASL_…: the password"
    )
    ssl_cafile: FilePath | None = Field(default=None, description="with …SSL: file of trusted CAs")
    ssl_certfile: FilePath | None = Field(
        default=None, description="with …SSL: the client's certificate"
    )
    ssl_keyfile: FilePath | None = Field(default=None, description="with …SSL: the client's key")
    ssl_password: SecretStr | None = Field(
        default=None, description="with …SSL: the key's password"
    )

    @field_validator("bootstrap_servers")
    @classmethod
    def _ports_exist(cls, servers: str) -> str:
        for server in servers.split(","):
            if not 0 < int(server.rsplit(":", 1)[1]) <= LAST_PORT:
                raise ValueError(f"a port should be a number from 1 to {LAST_PORT}")
        return servers

    @model_validator(mode="after")
    def _credentials_are_there(self) -> "KafkaSettings":
        if self.uses_sasl and not (self.sasl_plain_username and self.sasl_plain_password):
            raise ValueError(
                "KAFKA_SASL_PLAIN_USERNAME and KAFKA_SASL_PLAIN_PASSWORD: needed with"
                f" KAFKA_SECURITY_PROTOCOL={self.security_protocol}"
            )
        return self

    @model_validator(mode="after")
    def _files_can_be_used(self) -> "KafkaSettings":
        if self.uses_ssl:
            self._ssl_context()
        return self

    @property
    def uses_sasl(self) -> bool:
        """Whether the client proves who it is by a password."""
        return self.security_protocol.startswith("SASL_")

    @property
    def uses_ssl(self) -> bool:
        """Whether the connection is encrypted by TLS."""
        return self.security_protocol.endswith("SSL")

    def aiokafka(self) -> dict[str, Any]:
        """Return the keyword arguments of aiokafka's clients; raises SettingsError."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
        }
        if self.uses_sasl:
            arguments |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_plain_username,
                "sasl_plain_password": _reveal(self.sasl_plain_password),
            }
        if self.uses_ssl:
            arguments["ssl_context"] = self._ssl_context()
        return arguments

    def librdkafka(self) -> dict[str, Any]:
        """Return the configuration of a librdkafka client."""
        configuration = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
        }
        optional = {
            "sasl.mechanism": self.sasl_mechanism if self.uses_sasl else None,
            "sasl.username": self.sasl_plain_username,
            "sasl.password": _reveal(self.sasl_plain_password),
            "ssl.ca.location": self.ssl_cafile,
            "ssl.certificate.location": self.ssl_certfile,
            "ssl.key.location": self.ssl_keyfile,
            "ssl.key.password": _reveal(self.ssl_password),
        }
        return configuration | {name: str(value) for name, value in optional.items() if value}

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            context: ssl.SSLContext = create_ssl_context(cafile=self.ssl_cafile)
        except OSError as error:  # TLS' own are such too
            raise SettingsError(f"KAFKA_SSL_CAFILE: {error}") from error
        if self.ssl_certfile is None:
            return context
        # Where it is given no password at all, OpenSSL asks the terminal for an encrypted key's.
        password = _reveal(self.ssl_password) or ""
        try:
            context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, password)
        except OSError as error:
            names = "KAFKA_SSL_CERTFILE, KAFKA_SSL_KEYFILE, KAFKA_SSL_PASSWORD"
            raise SettingsError(f"{names}: {error}") from error
        return context


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
