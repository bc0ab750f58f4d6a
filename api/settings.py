"""The settings of the API: one frozen section for each part, read from the environment."""

import ipaddress
import re
from hashlib import sha256
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from runtime.http.settings import HttpSettings, MaxConnections, Port
from runtime.kafka.settings import DEFAULT_GROUP, GroupName, KafkaSettings
from runtime.logs import LogSettings
from runtime.postgres.settings import ConnectTimeout, PostgresUrl
from runtime.settings import (
    DEFAULT_RETENTION_DAYS,
    ENVIRONMENT,
    LAST_PORT,
    RetentionDays,
    SettingsError,
    load,
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_KEY = re.compile(r"[0-9a-f]{64}")
# The digests that a shell computes if the variable that should hold the key is empty.
OF_NOTHING = {sha256(blank).hexdigest() for blank in (b"", b" ", b"\n", b" \n", b"\r\n")}


class ListenSettings(HttpSettings):
    """Where the API is served, and how long it may take to stop after SIGTERM."""

    http_port: Port = 8000
    http_max_connections: MaxConnections = 1_000
    drain_timeout_s: float = Field(
        8.0, gt=0, le=3_600, description="time to finish answers that have begun, after SIGTERM"
    )

    @property
    def is_loopback(self) -> bool:
        if self.http_host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.http_host).is_loopback
        except ValueError:
            return False


class MetricsSettings(BaseSettings):
    """Where /metrics is served, if not on the API's own port."""

    model_config = ENVIRONMENT

    metrics_host: str | None = Field(
        None, description="address to listen on for METRICS_PORT; by default HTTP_HOST"
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=LAST_PORT,
        description="port of /metrics alone, without a key; by default HTTP_PORT, with one",
    )


class AccessSettings(BaseSettings):
    """Who may ask, and how often."""

    model_config = ENVIRONMENT

    api_keys: SecretStr = Field(
        SecretStr(""),
        description="SHA-256 of each key in hex, comma-separated; without: loopback only",
    )
    api_clients_file: Path | None = Field(
        None, description="TOML file of clients: their names, keys, scopes and devices"
    )
    rate_limit_per_minute: int = Field(
        60_000, ge=0, le=10_000_000, description="requests of one client in a minute; 0: unlimited"
    )
    address_rate_limit_per_minute: int = Field(
        1_200,
        ge=0,
        le=10_000_000,
        description="requests of one address without a known key in a minute; 0: unlimited",
    )
    trusted_proxies: str = Field(
        "",
        description="addresses and networks of proxies whose X-Forwarded-… is used",
    )

    @field_validator("api_keys")
    @classmethod
    def _are_digests(cls, given: SecretStr) -> SecretStr:
        keys = "".join(given.get_secret_value().split()).lower()
        if not all(_KEY.fullmatch(key) for key in keys.split(",") if key):
            raise ValueError("should be SHA-256 digests of 64 hex digits, comma-separated")
        if not OF_NOTHING.isdisjoint(keys.split(",")):
            raise ValueError("has the digest of an empty key")
        return SecretStr(keys)

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, proxies: str) -> str:
        try:
            _networks(proxies)
        except ValueError as error:
            raise ValueError(f"should be addresses or networks, comma-separated: {error}") from None
        return proxies

    @property
    def digests(self) -> tuple[bytes, ...]:
        keys = self.api_keys.get_secret_value()
        return tuple(bytes.fromhex(key) for key in "".join(keys.split()).split(",") if key)

    @property
    def needs_keys(self) -> bool:
        return bool(self.digests) or self.api_clients_file is not None

    @property
    def proxies(self) -> tuple[Network, ...]:
        return _networks(self.trusted_proxies)


def _networks(text: str) -> tuple[Network, ...]:
    words = "".join(text.split()).split(",")
    return tuple(ipaddress.ip_network(word) for word in words if word)


class PoolSettings(BaseSettings):
    """How to reach PostgreSQL, how many requests may use it at a time, and for how long."""

    model_config = ENVIRONMENT

    database_url: PostgresUrl
    database_read_url: PostgresUrl | None = Field(
        None, description="a replica for reads; by default DATABASE_URL"
    )
    database_pool_size: int = Field(
        12, ge=1, le=200, description="most connections to DATABASE_URL, and to DATABASE_READ_URL"
    )
    database_connect_timeout_s: ConnectTimeout = 5
    database_pool_timeout_s: float = Field(
        2.0, gt=0, le=60, description="seconds that a request waits for a connection"
    )
    database_question_wait_s: float = Field(
        10.0,
        gt=0,
        le=600,
        description="seconds that a question (analytics, a list, a page) waits for its turn",
    )
    database_questions_of_one: int = Field(
        2, ge=1, le=200, description="most questions of one client that are answered at a time"
    )
    database_most_waiting: int = Field(
        200, ge=1, le=100_000, description="requests that wait in a lane for a connection"
    )
    database_statement_timeout_s: float = Field(
        15.0, gt=0, le=3_600, description="seconds for a statement"
    )
    database_lookup_timeout_s: float = Field(
        5.0, gt=0, le=3_600, description="seconds for reading a row by its key"
    )
    database_lock_timeout_s: float = Field(
        5.0, gt=0, le=3_600, description="seconds to wait for a lock"
    )


class GatewaySettings(BaseSettings):
    """How readings are handed to Kafka, and which are too old."""

    model_config = ENVIRONMENT

    gateway_timeout_ms: int = Field(
        1_500,
        ge=100,
        le=60_000,
        description="time for the broker to acknowledge; then 503",
    )
    gateway_buffer_bytes: int = Field(
        32 << 20, ge=1 << 20, le=1 << 30, description="most bytes that wait for the broker"
    )
    history_retention_days: RetentionDays = Field(
        DEFAULT_RETENTION_DAYS, description="readings older than this many days are refused"
    )


class BodySettings(BaseSettings):
    """How many bytes the bodies of all requests may hold while they are read and answered."""

    model_config = ENVIRONMENT

    body_budget_bytes: int = Field(
        64 << 20,
        ge=1 << 20,
        le=1 << 34,
        description="most bytes of all bodies at a time, as they came and inflated; then 503",
    )
    body_budget_client_bytes: int = Field(
        32 << 20,
        ge=1 << 20,
        le=1 << 34,
        description="most of these bytes that one client may hold; then 429",
    )


class LiveSettings(BaseSettings):
    """How many clients may listen to the live stream."""

    model_config = ENVIRONMENT

    live_listeners: int = Field(
        500, ge=1, le=100_000, description="most listeners of the live stream; then 503"
    )
    live_client_listeners: int = Field(
        50, ge=1, le=100_000, description="most listeners of one client; then 429"
    )


class RegistrySettings(BaseSettings):
    """How many assignments and sessions one device may have."""

    model_config = ENVIRONMENT

    assignment_changes_per_day: int = Field(
        48,
        ge=1,
        le=10_000,
        description="assignments of a vehicle that start on one UTC day; more are refused (409)",
    )
    sessions_per_day: int = Field(
        288,
        ge=1,
        le=10_000,
        description="sessions of a vehicle, and of a meter, that start on one UTC day; more are"
        " refused (409)",
    )


class GroupSettings(BaseSettings):
    """The consumer group whose progress the pages show."""

    model_config = ENVIRONMENT

    consumer_group: GroupName = Field(
        DEFAULT_GROUP,
        description="the consumer group whose progress the pages show",
    )


SECTIONS = (
    KafkaSettings,
    PoolSettings,
    GatewaySettings,
    BodySettings,
    LiveSettings,
    RegistrySettings,
    GroupSettings,
    ListenSettings,
    MetricsSettings,
    AccessSettings,
    LogSettings,
)


class Settings:
    """All sections, read together so that the first wrong one stops the start.

    Raises SettingsError.
    """

    def __init__(self) -> None:
        self.kafka = load(KafkaSettings)
        self.pool = load(PoolSettings)
        self.gateway = load(GatewaySettings)
        self.body = load(BodySettings)
        self.live = load(LiveSettings)
        self.registry = load(RegistrySettings)
        self.group = load(GroupSettings)
        self.listen = load(ListenSettings)
        self.metrics = load(MetricsSettings)
        self.access = load(AccessSettings)
        self.log = load(LogSettings)
        if not self.access.needs_keys and not self.listen.is_loopback:
            raise SettingsError(
                f"API_KEYS: is not set, nor is API_CLIENTS_FILE; without keys HTTP_HOST must be"
                f" loopback, and is {self.listen.http_host}"
            )
