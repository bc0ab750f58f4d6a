"""The simulator's own settings; the broker's are in `runtime.kafka`."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.postgres.settings import PostgresUrl


class DatabaseSettings(BaseSettings):
    """The database that `verify` reads, and the consumer group that it waits for."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    database_url: PostgresUrl = Field(description="PostgreSQL's address; read access suffices")
    consumer_group: str = Field(
        default="telemetry-consumer", description="the consumers' group in Kafka"
    )


class ProductSettings(BaseSettings):
    """The key for the API that `run --api` and `verify --answers` call."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    api_key: SecretStr | None = Field(default=None, description="the API's key, if it needs one")

    @property
    def key(self) -> str | None:
        return None if self.api_key is None else self.api_key.get_secret_value()
