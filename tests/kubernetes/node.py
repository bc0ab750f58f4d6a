"""A node: containerd and a kubelet, in folders, ports and control groups of its own."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.kubernetes.errors import ClusterError
from tests.kubernetes.images import PAUSE
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.namespaces import make_control_groups
from tests.kubernetes.network import PLUGINS, node_address, write_plugins
from tests.kubernetes.processes import Program, running, wait_until

_SECONDS_TO_IMPORT = 600
_SECONDS_TO_START = 300.0


class Node:
    """One of the nodes, which are numbered from 1."""

    def __init__(self, kube: Path, folder: Path, *, number: int, kubectl: Kubectl) -> None:
        self.name, self._number, self._folder = f"node-{number}", number, folder
        self._kubectl = kubectl
        self._socket = folder / "containerd.sock"
        self._kube = kube

    @contextlib.contextmanager
    def running(self, archive: Path, *, logs: Path) -> Iterator[None]:
        """Run the node, which has the images of the archive; raises ClusterError."""
        self._folder.mkdir()
        write_plugins(self._folder / "plugins", number=self._number)
        containerd = self._containerd(logs)
        with running(containerd):
            wait_until(
                "containerd answers", self._answers, seconds=_SECONDS_TO_START, program=containerd
            )
            self._import(archive)
            with running(self._kubelet(logs)) as kubelet:
                wait_until(
                    f"{self.name} is ready",
                    self._is_ready,
                    seconds=_SECONDS_TO_START,
                    program=kubelet,
                )
                yield

    def _containerd(self, logs: Path) -> Program:
        file = self._folder / "containerd.toml"
        file.write_text(
            f"""version = 2
root = "{self._folder}/containerd"
state = "{self._folder}/state"
[grpc]
address = "{self._socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
stream_server_address = "127.0.0.1"
# Inside a container, root may not protect a process from the kernel's killer.
restrict_oom_score_adj = true
disable_hugetlb_controller = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = "{self._folder}/plugins"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "{self._folder}/runc"
"""
        )
        return Program(f"containerd-{self._number}", ["containerd", "--config", file], logs=logs)

    def _kubelet(self, logs: Path) -> Program:
        file = self._folder / "kubelet.json"
        file.write_text(json.dumps(self._settings()))
        words: list[str | Path] = [
            self._kube,
            "kubelet",
            f"--config={file}",
            f"--kubeconfig={self._kubectl.kubeconfig}",
            f"--hostname-override={self.name}",
            f"--node-ip={node_address(self._number)}",
            f"--root-dir={self._folder / 'kubelet'}",
            f"--cert-dir={self._folder / 'certificates'}",
        ]
        return Program(f"kubelet-{self._number}", words, logs=logs)

    def _settings(self) -> dict[str, Any]:
        little = {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"}
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": node_address(self._number),
            "healthzPort": 0,
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": make_control_groups(self.name),
            "failCgroupV1": False,
            "failSwapOn": False,
            # As above: no score below that of the process that starts it.
            "oomScoreAdj": 0,
            "makeIPTablesUtilChains": False,
            "podLogsDir": str(self._folder / "logs"),
            "volumePluginDir": str(self._folder / "volume-plugins"),
            "resolvConf": "",
            # What other programs take of this machine is no reason to move a pod.
            "evictionHard": little,
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
        }

    def _import(self, archive: Path) -> None:
        words = [*self._ctr(), "images", "import", str(archive)]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=_SECONDS_TO_IMPORT, check=False
        )
        if done.returncode:
            raise ClusterError(f"{self.name} cannot take the images: {done.stderr.strip()}")

    def _ctr(self) -> list[str]:
        return ["ctr", "--address", str(self._socket), "--namespace", "k8s.io"]

    def _answers(self) -> bool:
        words = [*self._ctr(), "version"]
        return subprocess.run(words, capture_output=True, timeout=30, check=False).returncode == 0

    def _is_ready(self) -> bool:
        ready = '--output=jsonpath={.status.conditions[?(@.type=="Ready")].status}'
        return self._kubectl.attempt("get", "node", self.name, ready).stdout == "True"
