"""The settings of a service's HTTP server."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from runtime.settings import ENVIRONMENT, LAST_PORT

Port = Annotated[int, Field(ge=0, le=LAST_PORT, description="port; 0 picks a free one")]
MaxConnections = Annotated[
    int,
    Field(
        ge=1,
        le=1_000_000,
        description="most open connections; never over half the file descriptors",
    ),
]


class HttpSettings(BaseSettings):
    """Where health and metrics are served, and what a client may take of the server."""

    model_config = ENVIRONMENT

    http_host: str = Field("127.0.0.1", description="address to listen on")
    http_port: Port = 8080
    http_max_connections: MaxConnections = 100
    http_max_connections_per_address: int = Field(
        0, ge=0, le=1_000_000, description="open connections from one address; 0: unlimited"
    )
    http_max_head_bytes: int = Field(
        64 << 10, ge=1 << 10, le=1 << 20, description="bytes of a request's head; then 431"
    )
    http_max_headers: int = Field(
        100, ge=10, le=10_000, description="headers of a request; then 431"
    )
    http_head_timeout_s: float = Field(
        10.0,
        gt=0,
        le=3_600,
        description="seconds for a request's head, from connecting or its first byte; then 408",
    )
    http_body_timeout_s: float = Field(
        60.0, gt=0, le=86_400, description="seconds for a body, while it is read; then 408"
    )
    http_idle_timeout_s: float = Field(
        30.0, gt=0, le=86_400, description="seconds from an answer to the next request"
    )
    http_write_timeout_s: float = Field(
        30.0, gt=0, le=86_400, description="seconds in which a client must take 16 KiB of an answer"
    )
    http_tls_certfile: Path | None = Field(
        None, description="PEM file of the certificate and its chain; without: plain HTTP"
    )
    http_tls_keyfile: Path | None = Field(
        None, description="PEM file of its private key; by default in HTTP_TLS_CERTFILE"
    )
    http_tls_key_password: SecretStr | None = Field(
        None, description="password of the private key, if it is encrypted"
    )
    http_tls_client_auth: Literal["none", "optional", "required"] = Field(
        "none", description="clients' certificates: none, optional or required"
    )
    http_tls_client_cafile: Path | None = Field(
        None, description="PEM file of the authorities that sign clients' certificates"
    )

    @model_validator(mode="after")
    def _fit_each_other(self) -> Self:
        for name in ("http_tls_keyfile", "http_tls_key_password", "http_tls_client_cafile"):
            if getattr(self, name) is not None and self.http_tls_certfile is None:
                raise ValueError(f"{name.upper()}: needs HTTP_TLS_CERTFILE, which is not set")
        if (self.http_tls_client_auth != "none") != (self.http_tls_client_cafile is not None):
            raise ValueError(
                "HTTP_TLS_CLIENT_AUTH: optional and required need HTTP_TLS_CLIENT_CAFILE, and none"
                " takes no such file"
            )
        return self
