"""docs/reference.md lists what the code has: reasons, commands, settings and metrics."""

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from prometheus_client import CollectorRegistry
from pydantic_settings import BaseSettings
from typer.core import TyperGroup

import api.metrics
import api.settings
import consumer.metrics
import consumer.settings
from api.postgres.database import Database
from api.settings import PoolSettings
from deploy.replica import ROOT
from producer_sim.settings import DatabaseSettings, ProductSettings
from runtime.settings import describe
from telemetry.reasons import Reason

REFERENCE = (ROOT / "docs" / "reference.md").read_text()
PROGRAMS = ("consumer", "api", "producer_sim", "deploy.local", "deploy.demo", "deploy.images")


def section(heading: str) -> str:
    """Return what stands below a heading, up to the next one of any level."""
    [text] = re.findall(rf"^#+ {heading}\n(.*?)(?=^#|\Z)", REFERENCE, re.MULTILINE | re.DOTALL)
    return str(text)


def test_every_reason_is_explained_in_its_order() -> None:
    table = section("Dead-letter reasons")
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(Reason)


def test_every_command_is_listed() -> None:
    wanted = [
        f"python -m {program}{words}"
        for program in PROGRAMS
        for words in commands_of(
            typer.main.get_command(importlib.import_module(f"{program}.__main__").app)
        )
    ]
    assert re.findall(r"^\| `(python -m [^`]+)` \|", section("Commands"), re.MULTILINE) == wanted


def commands_of(command: Any, words: str = "") -> Iterator[str]:
    """Yield the words of each command that does something, each after a blank."""
    if not isinstance(command, TyperGroup):
        yield words
        return
    for name, one in command.commands.items():
        yield from commands_of(one, f"{words} {name}")


def test_every_setting_of_the_consumer_is_listed_with_its_default() -> None:
    assert rows("Settings of the consumer") == wanted_rows(describe(consumer.settings.SECTIONS))


def test_every_setting_of_the_api_is_listed_that_is_not_as_the_consumers() -> None:
    shared = describe(consumer.settings.SECTIONS)
    own = [setting for setting in describe(api.settings.SECTIONS) if setting not in shared]
    assert rows("Settings of the API") == wanted_rows(own)


def rows(heading: str) -> list[str]:
    return re.findall(r"^\| `[A-Z_]+` \|.*$", section(heading), re.MULTILINE)


def wanted_rows(settings: list[tuple[str, str, str]]) -> list[str]:
    return [f"| `{name}` | {default or ' '} | {text} |" for name, default, text in settings]


@pytest.mark.parametrize("group", [DatabaseSettings, ProductSettings])
def test_every_setting_of_the_simulator_is_listed(group: type[BaseSettings]) -> None:
    listed = re.findall(r"^\| `([A-Z_]+)` \|", section("Settings of the simulator"), re.MULTILINE)
    assert {name.upper() for name in group.model_fields} <= set(listed)


def test_every_metric_of_the_consumer_is_listed() -> None:
    exposed = metrics_of(consumer.metrics.Metrics().registry)
    assert metrics_in("Metrics of the consumer") == exposed


def test_every_metric_of_the_api_is_listed() -> None:
    metrics = api.metrics.Metrics()
    metrics.watch(Database(PoolSettings(database_url="postgresql://nowhere/none")))
    assert metrics_in("Metrics of the API") == metrics_of(metrics.registry)


def metrics_in(heading: str) -> set[str]:
    return set(re.findall(r"^\| `(telemetry_\w+)", section(heading), re.MULTILINE))


def metrics_of(registry: CollectorRegistry) -> set[str]:
    return {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in registry.collect()
        if metric.name.startswith("telemetry_")
    }
