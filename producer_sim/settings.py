"""The simulator's own settings; the broker's are in `runtime.kafka`."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from runtime.kafka.settings import DEFAULT_GROUP
from runtime.postgres.settings import PostgresUrl
from runtime.settings import ENVIRONMENT


class DatabaseSettings(BaseSettings):
    """The database that `verify` reads, and the consumer group that it waits for."""

    model_config = ENVIRONMENT

    database_url: PostgresUrl = Field(description="PostgreSQL's address; read access suffices")
    consumer_group: str = Field(default=DEFAULT_GROUP, description="the consumers' group in Kafka")


class ProductSettings(BaseSettings):
    """The key for the API that `run --api` and `verify --answers` call."""

    model_config = ENVIRONMENT

    api_key: SecretStr | None = Field(default=None, description="the API's key, if it needs one")

    @property
    def key(self) -> str | None:
        return None if self.api_key is None else self.api_key.get_secret_value()
