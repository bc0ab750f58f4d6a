"""The simulator's own settings; the broker's are in `runtime.kafka`."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.postgres.settings import PostgresUrl


class DatabaseSettings(BaseSettings):
    """Where `verify` looks, and whose progress it looks at."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    database_url: PostgresUrl = Field(description="PostgreSQL's address; reading suffices")
    consumer_group: str = Field(
        default="telemetry-consumer", description="the consumers' group in Kafka"
    )


class ProductSettings(BaseSettings):
    """How the simulator is admitted to the API that it tells of its devices, and asks."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    api_key: SecretStr | None = Field(default=None, description="the API's key, where it needs one")

    @property
    def key(self) -> str | None:
        return None if self.api_key is None else self.api_key.get_secret_value()
