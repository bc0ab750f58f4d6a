"""The simulator's own settings; the broker's are in `telemetry.settings`."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class DatabaseSettings(BaseSettings):
    """Where `verify` looks, and whose progress it looks at."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    database_url: str = Field(description="PostgreSQL's address; reading suffices")
    consumer_group: str = Field(
        default="telemetry-consumer", description="the consumers' group in Kafka"
    )
