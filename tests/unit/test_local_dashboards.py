"""Dashboard and alerts ask for metrics that a replica has."""

import json
import re
from pathlib import Path

import pytest

from consumer.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "wattline.json"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def exposed() -> set[str]:
    """Every name of ours that /metrics can show."""
    families = [family for family in Metrics().registry.collect() if "telemetry_" in family.name]
    return {family.name + suffix for family in families for suffix in SUFFIXES[family.type]}


@pytest.mark.parametrize("file", [DASHBOARD, ALERTS], ids=lambda file: file.name)
def test_every_metric_asked_for_exists(file: Path) -> None:
    asked = set(re.findall(r"\btelemetry_\w+", file.read_text()))
    assert asked
    assert asked <= exposed()


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)
