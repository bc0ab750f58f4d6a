"""The settings, one frozen section per part, each read from the environment."""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from runtime.http.settings import HttpSettings
from runtime.kafka.settings import DEFAULT_GROUP, GroupName, KafkaSettings
from runtime.kafka.topics import BROKER_DEFAULT, DEFAULT_PARTITIONS
from runtime.logs import LogSettings
from runtime.postgres.settings import ConnectTimeout, PostgresUrl
from runtime.settings import DEFAULT_RETENTION_DAYS, ENVIRONMENT, RetentionDays, load

SMALL_BYTES = 1 << 20
"""The most that producers pack into a batch by default; each partition may have it unpacked."""
UNPACKED_MAX_BYTES = 64 << 20
_DAY_MS = 86_400_000  # Kafka counts milliseconds in 32 bits


class DatabaseSettings(BaseSettings):
    """How to reach PostgreSQL, and how long to wait for it."""

    model_config = ENVIRONMENT

    database_url: PostgresUrl
    database_connect_timeout_s: ConnectTimeout = 5
    database_statement_timeout_s: int = Field(
        60, ge=1, le=86_400, description="seconds for a statement"
    )
    database_lock_timeout_s: int = Field(
        10, ge=1, le=86_400, description="seconds to wait for a lock"
    )
    database_retry_max_s: float = Field(
        3.0,
        ge=0.1,
        le=3_600,
        description="longest pause between two tries while PostgreSQL is away or refuses",
    )


class GroupSettings(BaseSettings):
    """Whose offsets are read and written."""

    model_config = ENVIRONMENT

    consumer_group: GroupName = Field(
        DEFAULT_GROUP, description="the consumer group that all replicas join"
    )


class SourceSettings(GroupSettings):
    """How partitions are shared and records fetched."""

    kafka_group_instance_id: str | None = Field(
        None, description="static membership: a name of this replica alone, kept over restarts"
    )
    kafka_session_timeout_ms: int = Field(
        45_000, ge=1_000, le=_DAY_MS, description="time until a silent replica loses its partitions"
    )
    kafka_heartbeat_interval_ms: int = Field(
        3_000, ge=100, le=_DAY_MS, description="time between two heartbeats"
    )
    kafka_rebalance_timeout_ms: int = Field(
        30_000, ge=1_000, le=_DAY_MS, description="time to join a rebalance"
    )
    kafka_fetch_max_bytes: int = Field(16 << 20, ge=1 << 16, description="most bytes of one fetch")
    kafka_partition_fetch_max_bytes: int = Field(
        1 << 20, ge=1 << 16, description="most bytes of one partition in one fetch"
    )
    kafka_unpacked_batch_max_bytes: int = Field(
        UNPACKED_MAX_BYTES,
        ge=SMALL_BYTES,
        description="bytes that a batch may unpack to; a larger one stops its partition",
    )
    kafka_topic_partitions: int = Field(
        DEFAULT_PARTITIONS, ge=1, description="partitions of a topic that the consumer creates"
    )
    kafka_topic_replication_factor: int = Field(
        BROKER_DEFAULT, ge=-1, description="replicas of such a topic; -1: the broker's default"
    )


class RecordSettings(BaseSettings):
    """How the value of a record is read."""

    model_config = ENVIRONMENT

    schema_registry_prefix: Literal["refuse", "strip"] = Field(
        "refuse",
        description="Confluent's zero byte and schema id before the JSON: refuse or strip",
    )


class DeviceSettings(BaseSettings):
    """Whose readings are taken."""

    model_config = ENVIRONMENT

    registered_devices_only: bool = Field(
        default=False,
        description="whether readings of devices that are not registered are dead letters",
    )


class FlushSettings(BaseSettings):
    """When a batch is flushed, and how much may wait."""

    model_config = ENVIRONMENT

    batch_max_rows: int = Field(20_000, ge=1, description="rows that fill a batch")
    batch_max_bytes: int = Field(8 << 20, ge=1 << 16, description="bytes that fill a batch")
    flush_interval_ms: int = Field(
        150, ge=1, le=3_600_000, description="age at which a batch is flushed"
    )
    buffer_max_bytes: int = Field(
        64 << 20, ge=1 << 20, description="bytes of all records that wait for a flush"
    )
    flush_connections: int = Field(3, ge=1, le=16, description="flushes at a time")
    drain_timeout_s: float = Field(
        8.0, gt=0, le=3_600, description="time to flush what waits, after SIGTERM"
    )
    revoke_timeout_s: float = Field(
        20.0, gt=0, le=3_600, description="time to flush before partitions move to another replica"
    )


class HistorySettings(BaseSettings):
    """How long history is kept, and how far ahead its days are made."""

    model_config = ENVIRONMENT

    history_retention_days: RetentionDays = Field(
        DEFAULT_RETENTION_DAYS, description="days that readings are kept"
    )
    partitions_ahead_days: int = Field(
        7, ge=1, le=366, description="days of history that are made in advance"
    )
    partitions_interval_s: float = Field(
        900.0, ge=1, le=86_400, description="seconds between two runs that make and remove days"
    )


class DeadLetterSettings(BaseSettings):
    """How much of dead letters is kept, and how long."""

    model_config = ENVIRONMENT

    dead_letters_whole_per_hour: int = Field(
        1_000,
        ge=0,
        le=10**9,
        description="letters over 1 KB, of a reason and topic, kept whole in an hour; 0: all",
    )
    dead_letters_whole_bytes_per_hour: int = Field(
        8 << 20, ge=0, le=10**15, description="most bytes of these letters; 0: no limit"
    )
    dead_letter_retention_days: int = Field(
        90, ge=0, le=36_500, description="days that dead letters are kept; 0: for ever"
    )


class WatchdogSettings(BaseSettings):
    """When a replica that does nothing gives up."""

    model_config = ENVIRONMENT

    watchdog_timeout_s: float = Field(
        300.0,
        ge=1,
        le=86_400,
        description="seconds of lag without progress after which the process ends",
    )
    lag_interval_s: float = Field(
        5.0, gt=0, le=3_600, description="seconds between two looks at the lag"
    )


SECTIONS = (
    KafkaSettings,
    DatabaseSettings,
    SourceSettings,
    RecordSettings,
    DeviceSettings,
    FlushSettings,
    HistorySettings,
    DeadLetterSettings,
    HttpSettings,
    LogSettings,
    WatchdogSettings,
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All sections, each from the environment if it is not given.

    Raises SettingsError at the first one that is wrong.
    """

    kafka: KafkaSettings = field(default_factory=partial(load, KafkaSettings))
    database: DatabaseSettings = field(default_factory=partial(load, DatabaseSettings))
    source: SourceSettings = field(default_factory=partial(load, SourceSettings))
    records: RecordSettings = field(default_factory=partial(load, RecordSettings))
    devices: DeviceSettings = field(default_factory=partial(load, DeviceSettings))
    flush: FlushSettings = field(default_factory=partial(load, FlushSettings))
    history: HistorySettings = field(default_factory=partial(load, HistorySettings))
    dead_letters: DeadLetterSettings = field(default_factory=partial(load, DeadLetterSettings))
    http: HttpSettings = field(default_factory=partial(load, HttpSettings))
    log: LogSettings = field(default_factory=partial(load, LogSettings))
    watchdog: WatchdogSettings = field(default_factory=partial(load, WatchdogSettings))
