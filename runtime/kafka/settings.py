"""How Kafka is reached: the settings, and what each of the two clients makes of them."""

import ssl
from typing import Annotated, Any, Literal

from aiokafka.helpers import create_ssl_context
from pydantic import Field, FilePath, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.settings import LAST_PORT, SettingsError

GroupName = Annotated[str, Field(min_length=1, max_length=255)]
DEFAULT_GROUP = "telemetry-consumer"


class KafkaSettings(BaseSettings):
    """How to reach the brokers. The security settings have aiokafka's names."""

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
        """Return whether the client authenticates with a password."""
        return self.security_protocol.startswith("SASL_")

    @property
    def uses_ssl(self) -> bool:
        """Return whether the connection is encrypted by TLS."""
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


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
