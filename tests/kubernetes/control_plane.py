"""etcd, the API server, the controllers and the scheduler, and the key to all of them."""

import contextlib
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.network import SERVERS
from tests.kubernetes.processes import Program, running, wait_until

_ETCD = "http://127.0.0.1:2379"
_PEERS = "http://127.0.0.1:2380"
_PORT = 6443
_SECONDS_TO_START = 300.0


class ControlPlane:
    """What decides in a cluster; it runs no pod."""

    def __init__(self, kube: Path, folder: Path, *, logs: Path) -> None:
        folder.mkdir()
        self.kubectl = Kubectl(kube, _kubeconfig(folder))
        self._etcd = Program("etcd", _etcd(folder), logs=logs)
        self._api_server = Program("apiserver", [kube, *_api_server(folder)], logs=logs)
        access = f"--kubeconfig={self.kubectl.kubeconfig}"
        alone = (access, "--leader-elect=false", "--bind-address=127.0.0.1")
        controllers = (
            *("controller-manager", *alone, "--use-service-account-credentials=true"),
            f"--service-account-private-key-file={folder / 'accounts.key'}",
        )
        self._others = [
            Program("controller-manager", [kube, *controllers], logs=logs),
            Program("scheduler", [kube, "scheduler", *alone], logs=logs),
        ]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run all parts; raises ClusterError if the API server is not ready in time."""
        with contextlib.ExitStack() as programs:
            programs.enter_context(running(self._etcd))
            programs.enter_context(running(self._api_server))
            self._wait()
            for program in self._others:
                programs.enter_context(running(program))
            yield

    def restart_api_server(self, *, away: float) -> float:
        """Kill the API server, start it after `away` seconds, and return how long it was gone."""
        self._api_server.end(signal.SIGKILL)
        time.sleep(away)
        self._api_server.start()
        return away + self._wait()

    def _wait(self) -> float:
        return wait_until(
            "the API server is ready",
            self.kubectl.is_ready,
            seconds=_SECONDS_TO_START,
            program=self._api_server,
        )


def _etcd(folder: Path) -> list[str | Path]:
    return [
        "etcd",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        f"--listen-peer-urls={_PEERS}",
        f"--initial-advertise-peer-urls={_PEERS}",
        f"--initial-cluster=default={_PEERS}",
    ]


def _api_server(folder: Path) -> list[str]:
    key = folder / "accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    return [
        "apiserver",
        f"--etcd-servers={_ETCD}",
        f"--bind-address={SERVERS}",
        f"--advertise-address={SERVERS}",
        f"--secure-port={_PORT}",
        f"--cert-dir={folder / 'certificates'}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def _kubeconfig(folder: Path) -> Path:
    """Write a token for everything in the cluster, and return the file that uses it."""
    token, file = secrets.token_hex(16), folder / "kubeconfig"
    for path in (folder / "tokens.csv", file):
        path.touch(mode=0o600)
    (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    file.write_text(
        "apiVersion: v1\n"
        "kind: Config\n"
        "current-context: wattline\n"
        "contexts: [{name: wattline, context: {cluster: wattline, user: admin}}]\n"
        "clusters:\n"
        "  - name: wattline\n"
        # Its certificate is its own, and nobody else is in this network.
        f"    cluster: {{server: 'https://{SERVERS}:{_PORT}', insecure-skip-tls-verify: true}}\n"
        f"users: [{{name: admin, user: {{token: {token}}}}}]\n"
    )
    return file
