"""Dashboard and alerts use metrics that the consumer or the API has."""

import json
import re
import subprocess
from pathlib import Path

import pytest

import api.metrics
import consumer.metrics
from api.postgres.database import Database
from api.settings import PoolSettings
from tests.needed import program

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "wattline.json"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def exposed() -> set[str]:
    """Return every name of ours that /metrics can show."""
    answering = api.metrics.Metrics()
    answering.watch(Database(PoolSettings(database_url="postgresql://nowhere/none")))
    registries = consumer.metrics.Metrics().registry, answering.registry
    collected = [family for registry in registries for family in registry.collect()]
    families = [family for family in collected if "telemetry_" in family.name]
    return {family.name + suffix for family in families for suffix in SUFFIXES[family.type]}


@pytest.mark.parametrize("file", [DASHBOARD, ALERTS], ids=lambda file: file.name)
def test_every_metric_in_a_query_exists(file: Path) -> None:
    asked = set(re.findall(r"\btelemetry_\w+", file.read_text()))
    assert asked
    assert asked <= exposed()


def test_every_query_of_the_dashboard_is_one(tmp_path: Path) -> None:
    """Prometheus reads them as rules; Grafana puts a time in the place of its variable."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    rules = [
        {"record": f"panel:{place}", "expr": query.replace("$__rate_interval", "1m")}
        for place, query in enumerate(asked)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool = program("promtool", package="prometheus")
    checked = subprocess.run(
        [promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(asked)} rules found" in checked.stdout


def test_a_refusal_raises_no_alert_of_an_outage() -> None:
    alerts = ALERTS.read_text().split("- alert: ")
    asking = {one.split("\n")[0] for one in alerts if "telemetry_database_refused" in one}
    assert asking == {"DatabaseRefuses", "SchemaUnfit", "UpkeepRefused"}


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
