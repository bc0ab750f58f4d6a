"""A real Prometheus with the alerts of deploy/prometheus, whose times may pass faster."""

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.ports import free_port
from deploy.replica import ROOT

RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"

_PATIENCE_S = 30.0
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
# Times in a rule: how long it must hold, windows of the past, and how far back to look.
_TIME = re.compile(r"((?<=for: )|(?<=\[)|(?<=offset ))(\d+)([smhd])\b")


class NoPrometheus(Exception):  # noqa: N818  what is missing
    """Prometheus is not installed, or did not start; the message is one line."""


@dataclass(frozen=True, order=True)
class Alert:
    """An alert that is raised; two of one name and other labels are two."""

    name: str
    labels: tuple[tuple[str, str], ...]
    severity: str
    summary: str
    runbook: str


def faster(rules: str, factor: int) -> str:
    """Return rules whose times are divided by the factor, and are a second at least."""

    def shorter(found: re.Match[str]) -> str:
        _, number, unit = found.groups()
        return f"{max(1, int(number) * _UNITS[unit] // factor)}s"

    return _TIME.sub(shorter, rules)


def longest_wait(alert: str, factor: int) -> float:
    """Return how many seconds an alert may take, at worst, once its cause is there.

    That is twice its longest time, and a minute for the metrics that are behind it.
    """
    [rule] = re.findall(rf"- alert: {alert}$.*?(?=- alert: |\Z)", RULES.read_text(), re.M | re.S)
    times = [int(number) for number in re.findall(r"(\d+)s", faster(rule, 1))]
    return 60 + 2 * max(times, default=0) / factor


class Prometheus:
    """A server that scrapes the targets once a second, and is asked for alerts."""

    def __init__(self, folder: Path, port: int) -> None:
        self._targets = folder / "targets.json"
        self._url = f"http://127.0.0.1:{port}"

    def scrape(self, targets: Mapping[str, Sequence[str]]) -> None:
        """Scrape these from now on: `host:port` by job."""
        groups = [{"labels": {"job": job}, "targets": list(all_)} for job, all_ in targets.items()]
        new = self._targets.with_suffix(".new")
        new.write_text(json.dumps(groups))
        new.replace(self._targets)

    def alerts(self) -> set[Alert]:
        """Return the alerts that are raised now; raises OSError."""
        found = self.ask("/api/v1/alerts")["alerts"]
        return {_alert(one) for one in found if one["state"] == "firing"}

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer; raises OSError."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        with urllib.request.urlopen(self._url + path + query, timeout=5) as answer:  # noqa: S310  ours
            return json.load(answer)["data"]

    def is_up(self) -> bool:
        try:
            self.ask("/api/v1/status/buildinfo")
        except OSError:
            return False
        return True


def _alert(one: Mapping[str, Any]) -> Alert:
    labels, said = one["labels"], one["annotations"]
    own = tuple(sorted((k, v) for k, v in labels.items() if k not in {"alertname", "severity"}))
    return Alert(labels["alertname"], own, labels["severity"], said["summary"], said["runbook_url"])


@contextmanager
def prometheus(folder: Path, *, factor: int) -> Iterator[Prometheus]:
    """Run Prometheus; raises NoPrometheus."""
    program = shutil.which("prometheus")
    if program is None:
        raise NoPrometheus("prometheus is not installed; on Debian: apt-get install prometheus")
    folder.mkdir(parents=True)
    (folder / "alerts.yml").write_text(faster(RULES.read_text(), factor))
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
        "rule_files: [alerts.yml]\n"
        "scrape_configs:\n"
        "  - {job_name: wattline, file_sd_configs: [{files: [targets.json]}]}\n"
    )
    port = free_port()
    server = Prometheus(folder, port)
    server.scrape({})
    command = [program, "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while not server.is_up():
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoPrometheus(f"Prometheus did not start: {folder / 'prometheus.log'}")
            time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(_PATIENCE_S)
