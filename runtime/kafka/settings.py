"""How Kafka is reached: the settings, and what each of the two clients makes of them.

Passwords and certificates may be rotated in their files. aiokafka's connections read them again:
certificates wherever it is used, passwords where `consumer.kafka.connection` is in its place.
"""

import ipaddress
import ssl
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import structlog
from aiokafka.helpers import create_ssl_context
from pydantic import Field, FilePath, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.kafka.tokens import PREFIX, Tokens
from runtime.settings import LAST_PORT, SettingsError

log = structlog.get_logger()

GroupName = Annotated[str, Field(min_length=1, max_length=255)]
DEFAULT_GROUP = "telemetry-consumer"


class Password(str):
    """A password as it was when it was given to aiokafka; `secret` has it as it is now."""

    __slots__ = ("secret",)

    secret: SecretStr

    @classmethod
    def of(cls, secret: SecretStr) -> "Password":
        password = cls(secret.get_secret_value())
        password.secret = secret
        return password


class KafkaSettings(BaseSettings):
    """How to reach the brokers. The security settings have aiokafka's names."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_", frozen=True, env_ignore_empty=True)

    bootstrap_servers: str = Field(
        pattern=r"^[^\s,@/]+:\d+(,[^\s,@/]+:\d+)*$", description="host:port, comma-separated"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="how the connection is secured"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        default="PLAIN", description="with SASL_…: how the client proves who it is"
    )
    sasl_plain_username: str | None = Field(default=None, description="with SASL_…: the user")
    sasl_plain_password: SecretStr | None = Field(
        default=None, description="with SASL_…: the password"
    )
    sasl_oauthbearer_token_endpoint_url: str | None = Field(
        default=None, description="with OAUTHBEARER: where tokens are asked for; https"
    )
    sasl_oauthbearer_client_id: str | None = Field(
        default=None, description="with OAUTHBEARER: the client's id"
    )
    sasl_oauthbearer_client_secret: SecretStr | None = Field(
        default=None, description="with OAUTHBEARER: the client's secret"
    )
    sasl_oauthbearer_scope: str | None = Field(
        default=None, description="with OAUTHBEARER: the scope to ask for"
    )
    sasl_oauthbearer_cafile: FilePath | None = Field(
        default=None, description="with OAUTHBEARER: file of CAs trusted for the endpoint"
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

    @field_validator("sasl_oauthbearer_token_endpoint_url")
    @classmethod
    def _is_safe(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            raise ValueError("is not a URL") from None
        if not host or "@" in parts.netloc or parts.fragment or not url.isprintable():
            raise ValueError("should be a URL without a user and a fragment")
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
            raise ValueError("should begin with https://, because the secret is sent there")
        return url

    @model_validator(mode="after")
    def _credentials_are_there(self) -> "KafkaSettings":
        if not self.uses_sasl:
            return self
        needed = {
            "KAFKA_SASL_PLAIN_USERNAME": self.sasl_plain_username,
            "KAFKA_SASL_PLAIN_PASSWORD": self.sasl_plain_password,
        }
        mechanism = ""
        if self.uses_tokens:
            mechanism = " and KAFKA_SASL_MECHANISM=OAUTHBEARER"
            needed = {
                f"{PREFIX}_TOKEN_ENDPOINT_URL": self.sasl_oauthbearer_token_endpoint_url,
                f"{PREFIX}_CLIENT_ID": self.sasl_oauthbearer_client_id,
                f"{PREFIX}_CLIENT_SECRET": self.sasl_oauthbearer_client_secret,
            }
        if not all(needed.values()):
            raise ValueError(
                f"{' and '.join(needed)}: needed with"
                f" KAFKA_SECURITY_PROTOCOL={self.security_protocol}{mechanism}"
            )
        return self

    @model_validator(mode="after")
    def _files_can_be_used(self) -> "KafkaSettings":
        if self.uses_ssl:
            self._ssl_context()
        return self

    @property
    def uses_sasl(self) -> bool:
        """Return whether the client authenticates with a password or a token."""
        return self.security_protocol.startswith("SASL_")

    @property
    def uses_tokens(self) -> bool:
        """Return whether the client authenticates with a token."""
        return self.uses_sasl and self.sasl_mechanism == "OAUTHBEARER"

    @property
    def uses_password(self) -> bool:
        """Return whether the client authenticates with a password."""
        return self.uses_sasl and not self.uses_tokens

    @property
    def uses_ssl(self) -> bool:
        """Return whether the connection is encrypted by TLS."""
        return self.security_protocol.endswith("SSL")

    @cached_property
    def tokens(self) -> Tokens:
        """The tokens of all connections of aiokafka; only with OAUTHBEARER."""
        assert self.sasl_oauthbearer_token_endpoint_url is not None, "checked"  # noqa: S101
        assert self.sasl_oauthbearer_client_id is not None, "checked"  # noqa: S101
        assert self.sasl_oauthbearer_client_secret is not None, "checked"  # noqa: S101
        return Tokens(
            url=self.sasl_oauthbearer_token_endpoint_url,
            client_id=self.sasl_oauthbearer_client_id,
            secret=self.sasl_oauthbearer_client_secret,
            scope=self.sasl_oauthbearer_scope,
            cafile=self.sasl_oauthbearer_cafile,
        )

    @cached_property
    def _fresh_context(self) -> "_FreshContext":
        return _FreshContext.of(self)

    def aiokafka(self) -> dict[str, Any]:
        """Return the keyword arguments of aiokafka's clients; raises SettingsError at first."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
        }
        if self.uses_sasl:
            arguments["sasl_mechanism"] = self.sasl_mechanism
        if self.uses_tokens:
            arguments["sasl_oauth_token_provider"] = self.tokens
        elif self.uses_sasl:
            assert self.sasl_plain_password is not None, "checked"  # noqa: S101
            arguments["sasl_plain_username"] = self.sasl_plain_username
            arguments["sasl_plain_password"] = Password.of(self.sasl_plain_password)
        if self.uses_ssl:
            arguments["ssl_context"] = self._fresh_context
        return arguments

    def librdkafka(self) -> dict[str, Any]:
        """Return the configuration of a librdkafka client."""
        configuration: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
        }
        optional: dict[str, object] = {
            "sasl.mechanism": self.sasl_mechanism if self.uses_sasl else None,
            "ssl.ca.location": self.ssl_cafile,
            "ssl.certificate.location": self.ssl_certfile,
            "ssl.key.location": self.ssl_keyfile,
            "ssl.key.password": _reveal(self.ssl_password),
        }
        if self.uses_tokens:
            optional |= {
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.token.endpoint.url": self.sasl_oauthbearer_token_endpoint_url,
                "sasl.oauthbearer.client.id": self.sasl_oauthbearer_client_id,
                "sasl.oauthbearer.client.secret": _reveal(self.sasl_oauthbearer_client_secret),
                "sasl.oauthbearer.scope": self.sasl_oauthbearer_scope,
                "https.ca.location": self.sasl_oauthbearer_cafile,
            }
        elif self.uses_sasl:
            optional |= {
                "sasl.username": self.sasl_plain_username,
                "sasl.password": _reveal(self.sasl_plain_password),
            }
        return configuration | {name: str(value) for name, value in optional.items() if value}

    def credentials(self) -> tuple[str, str]:
        """Return the user and the password as they are now; only if it uses a password."""
        return self.sasl_plain_username or "", _reveal(self.sasl_plain_password) or ""

    def version(self) -> object:
        """Return what differs once a secret or a file of a certificate, key or CA was replaced."""
        files = (self.ssl_cafile, self.ssl_certfile, self.ssl_keyfile, self.sasl_oauthbearer_cafile)
        return self.librdkafka(), [None if file is None else _version(file) for file in files]

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            context: ssl.SSLContext = create_ssl_context(cafile=self.ssl_cafile)
        except OSError as error:  # ssl.SSLError is one
            raise SettingsError(f"KAFKA_SSL_CAFILE: {error}") from error
        if self.ssl_certfile is None:
            return context
        # Without any password, OpenSSL would ask the terminal for that of an encrypted key.
        password = _reveal(self.ssl_password) or ""
        try:
            context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, password)
        except OSError as error:
            names = "KAFKA_SSL_CERTFILE, KAFKA_SSL_KEYFILE, KAFKA_SSL_PASSWORD"
            raise SettingsError(f"{names}: {error}") from error
        return context


class _FreshContext(ssl.SSLContext):
    """A context for TLS that reads its files again for each connection: they may be renewed.

    If they cannot be used, that is logged once, and they are used as they were before.
    """

    _kafka: KafkaSettings
    _last: ssl.SSLContext
    _complaint = ""

    @classmethod
    def of(cls, kafka: KafkaSettings) -> "_FreshContext":
        """Read the files for the first time; raises SettingsError."""
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context._kafka, context._last = kafka, kafka._ssl_context()
        return context

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection, as asyncio and uvloop do."""
        complaint = ""
        try:
            self._last = self._kafka._ssl_context()
        except SettingsError as error:
            complaint = str(error)
            if complaint != self._complaint:
                log.warning("certificate_unusable", error=complaint, help="the former one is used")
        self._complaint = complaint
        return self._last.wrap_bio(*arguments, **options)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _version(file: Path) -> object:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
