"""The README's tables are the code's: settings with their defaults, and metrics."""

import re

import api.settings
import consumer.settings
from consumer.metrics import Metrics
from deploy.replica import ROOT
from telemetry.reasons import Reason

README = (ROOT / "README.md").read_text()


def test_every_setting_is_listed_with_its_default() -> None:
    own = consumer.settings.describe()
    others = [setting for setting in api.settings.describe() if setting not in own]
    wanted = [f"| `{name}` | {default or ' '} | {text} |" for name, default, text in own + others]
    found = re.findall(r"^\| `[A-Z_]+` \|.*$", README, re.MULTILINE)
    assert found == wanted


def test_every_metric_is_listed() -> None:
    wanted = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in Metrics().registry.collect()
        if metric.name.startswith("telemetry_")
    }
    found = set(re.findall(r"^\| `(telemetry_\w+)", README, re.MULTILINE))
    assert found == wanted


def test_every_reason_is_explained_in_its_order() -> None:
    section = README.split("## Dead letters")[1].split("## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(Reason)
