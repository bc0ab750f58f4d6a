"""The chart, installed as docs/kubernetes.md says."""

import base64
import json
import secrets
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.replica import ROOT
from tests.chart.programs import program
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.errors import ClusterError
from tests.kubernetes.kubectl import last_line

CHART = ROOT / "deploy" / "helm" / "wattline"
NAME = "wattline"
CONSUMER = "deployment/wattline-consumer"
_SECONDS = 420
_ROLES = ("owner", "consumer", "api")


@dataclass(frozen=True)
class Release:
    """An installed release, whose values may change."""

    cluster: Cluster

    def install(self) -> None:
        """Make the namespace and the secrets, and install; raises ClusterError."""
        kubectl = self.cluster.kubectl
        # The strictest of the standards for pods.
        enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
        kubectl.apply(
            _resource("v1", "Namespace", kubectl.namespace, metadata={"labels": enforced})
        )
        logins = self.cluster.servers.logins
        kubectl.apply(
            _secret("wattline-database", {role: logins[role] for role in _ROLES}),
            _secret("wattline-keys", {"API_KEYS": secrets.token_hex(32)}),
        )
        self.upgrade({})

    def upgrade(self, settings: Mapping[str, str]) -> None:
        """Install or upgrade with these settings of the consumer, and wait until it is ready."""
        values: dict[str, Any] = {
            "image": {"repository": "wattline", "tag": "latest"},
            "kafka": {"bootstrapServers": self.cluster.servers.bootstrap_of_pods},
            "database": {"secretName": "wattline-database"},
            "consumer": {"settings": dict(settings)},
            "api": {"keysSecretName": "wattline-keys"},
        }
        self._helm("upgrade", "--install", NAME, str(CHART), "--values=-", given=json.dumps(values))

    def roll_back(self) -> None:
        """Go back to the revision before, and wait until it is ready."""
        self._helm("rollback", NAME)

    def _helm(self, *words: str, given: str = "") -> None:
        kubectl = self.cluster.kubectl
        access = [f"--kubeconfig={kubectl.kubeconfig}", f"--namespace={kubectl.namespace}"]
        wait = ["--wait", f"--timeout={_SECONDS}s"]
        done = subprocess.run(
            [str(program("helm")), *words, *access, *wait],
            input=given,
            capture_output=True,
            text=True,
            timeout=_SECONDS + 60,
            check=False,
        )
        if done.returncode:
            raise ClusterError(f"helm {words[0]}: {last_line(done.stderr)}")


def _resource(version: str, kind: str, name: str, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, **more.pop("metadata", {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def _secret(name: str, content: Mapping[str, str]) -> dict[str, Any]:
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in content.items()}
    return _resource("v1", "Secret", name, data=encoded)
