"""A cluster on this machine: servers, control plane and nodes; it ends with the block."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.kubernetes import servers
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.network import open_bridge
from tests.kubernetes.node import Node
from tests.kubernetes.servers import Servers

NODES = 2


@dataclass(frozen=True)
class Cluster:
    """What runs."""

    servers: Servers
    control_plane: ControlPlane
    nodes: tuple[str, ...]

    @property
    def kubectl(self) -> Kubectl:
        return self.control_plane.kubectl


@contextlib.contextmanager
def running(
    kube: Path, archive: Path, folder: Path, *, logs: Path, say: Callable[[str], None]
) -> Iterator[Cluster]:
    """Start everything, in namespaces of its own; raises ClusterError, LocalStackError."""
    open_bridge(NODES)
    with contextlib.ExitStack() as parts:
        say("starting Kafka and PostgreSQL")
        started = parts.enter_context(servers.running(folder, logs=logs))
        say("starting the API server")
        control_plane = ControlPlane(kube, folder / "control-plane", logs=logs)
        parts.enter_context(control_plane.running())
        for number in range(1, NODES + 1):
            say(f"starting node {number}")
            node = Node(
                kube, folder / f"node-{number}", number=number, kubectl=control_plane.kubectl
            )
            parts.enter_context(node.running(archive, logs=logs))
        names = tuple(f"node-{number}" for number in range(1, NODES + 1))
        yield Cluster(started, control_plane, names)
