"""What is replaced inside aiokafka: by an explicit call only, and in a version that was checked."""

import subprocess
import sys

import aiokafka
import pytest
from structlog.testing import capture_logs

from consumer.kafka import aiokafka_patches
from consumer.kafka.aiokafka_patches import CHECKED_VERSION, PATCHES, install

IMPORT_ALL = """
import importlib, pkgutil
import consumer
from consumer.kafka.aiokafka_patches import PATCHES, install

for module in pkgutil.walk_packages(consumer.__path__, "consumer."):
    importlib.import_module(module.name)
for patch in PATCHES:
    assert getattr(patch.module, patch.name).__module__.startswith("aiokafka."), patch
install()
for patch in PATCHES:
    assert getattr(patch.module, patch.name) is patch.ours, patch
"""


def test_importing_the_consumer_changes_nothing_in_aiokafka_and_installing_does() -> None:
    """In a process of its own: in this one another test may have installed them."""
    subprocess.run([sys.executable, "-c", IMPORT_ALL], check=True)


def test_the_installed_aiokafka_is_the_one_that_was_checked() -> None:
    """Another version: read what has changed of each name in PATCHES, then raise the version."""
    assert aiokafka.__version__ == CHECKED_VERSION
    with capture_logs() as logs:
        install.__wrapped__()
    assert logs == []


def test_another_version_of_aiokafka_is_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiokafka, "__version__", "0.14.9")
    with capture_logs() as logs:
        install.__wrapped__()
    assert [(one["event"], one["log_level"], one["version"]) for one in logs] == [
        ("aiokafka_unchecked", "warning", "0.14.9")
    ]


def test_a_name_that_aiokafka_no_longer_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = PATCHES[0]._replace(name="GoneFromAiokafka")
    monkeypatch.setattr(aiokafka_patches, "PATCHES", (*PATCHES, gone))
    with pytest.raises(AttributeError, match="GoneFromAiokafka"):
        install.__wrapped__()
