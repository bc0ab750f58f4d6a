"""What is done to the cluster under load."""

import os
import signal
import time
from typing import Any

import psutil

from tests.kubernetes.processes import wait_until
from tests.kubernetes.release import CONSUMER
from tests.kubernetes.scenario import SECONDS, Bench, only, scenario

_QUIET_S = 20.0
_AWAY_S = 15.0
_STATIC = "statefulset/wattline-static"


@scenario
def nothing(bench: Bench) -> None:
    """Nothing happens for 20 s, for comparison."""
    del bench
    time.sleep(_QUIET_S)


@scenario
def rolled(bench: Bench) -> None:
    """Replace both replicas of the Deployment, one after the other."""
    bench.cluster.kubectl("rollout", "restart", CONSUMER)
    bench.rolled_out()


@scenario
def rolled_static(bench: Bench) -> None:
    """Replace both replicas of a StatefulSet with static membership, for comparison."""
    bench.scale(0)
    bench.cluster.kubectl.apply(_static(bench.cluster.kubectl.get(CONSUMER)))
    bench.rolled_out(_STATIC)
    bench.settled()
    bench.stands.begin()
    bench.cluster.kubectl("rollout", "restart", _STATIC)
    bench.rolled_out(_STATIC)
    bench.settled()
    bench.stand = bench.stands.end()
    bench.cluster.kubectl("delete", _STATIC, "--wait=true", seconds=SECONDS)
    bench.scale(2)


def _static(deployment: dict[str, Any]) -> dict[str, Any]:
    """Return a StatefulSet of the same pods, each of which keeps its name in the group."""
    labels = {"app.kubernetes.io/name": "wattline-static"}
    spec = deployment["spec"]["template"]["spec"]
    name = {"name": "KAFKA_GROUP_INSTANCE_ID"}
    name["valueFrom"] = {"fieldRef": {"fieldPath": "metadata.name"}}  # type: ignore[assignment]
    spec["containers"][0]["env"].append(name)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "wattline-static"},
        "spec": {
            "replicas": 2,
            "serviceName": "wattline-static",
            "minReadySeconds": deployment["spec"]["minReadySeconds"],
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


@scenario
def killed(bench: Bench) -> None:
    """Kill a replica's process with SIGKILL, then delete another pod by force."""
    victim = _process(bench)
    os.kill(victim, signal.SIGKILL)
    wait_until("the container is started again", lambda: _restarts(bench) > 0, seconds=SECONDS)
    bench.rolled_out()
    bench.settled()
    pod = next(one for one in bench.pods() if not _restarts_of(one))
    bench.cluster.kubectl(
        "delete", "pod", pod["metadata"]["name"], "--force", "--grace-period=0", seconds=SECONDS
    )
    bench.rolled_out()


def _process(bench: Bench) -> int:
    """Return the process of a replica, as this machine knows it."""
    words = ["python", "-m", "consumer", "run"]
    found = [one.pid for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == words]
    bench.remarks.append(f"{len(found)} processes of replicas ran")
    return found[0]


def _restarts(bench: Bench) -> int:
    return sum(map(_restarts_of, bench.pods()))


def _restarts_of(pod: dict[str, Any]) -> int:
    return sum(one["restartCount"] for one in pod["status"].get("containerStatuses", []))


@scenario
def drained(bench: Bench) -> None:
    """Evict a replica, be refused the second one, and drain a node."""
    first, second = (pod["metadata"]["name"] for pod in bench.pods())
    granted, refused = bench.attempt_eviction(first), bench.attempt_eviction(second)
    bench.expect(not granted, f"the first eviction was refused: {granted}")
    bench.expect("disruption budget" in refused, f"the second eviction was not refused: {refused}")
    bench.rolled_out()
    node = only(bench.pods())["spec"]["nodeName"]
    timeout = f"--timeout={SECONDS:.0f}s"
    words = ("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", timeout)
    bench.cluster.kubectl(*words, seconds=SECONDS + 30)
    bench.rolled_out()
    left = {pod["spec"]["nodeName"] for pod in bench.pods()}
    bench.expect(node not in left, f"{node} was drained and has pods")
    bench.cluster.kubectl("uncordon", node)


@scenario
def without_api_server(bench: Bench) -> None:
    """Kill the API server, and start it again after 15 s."""
    before = {(pod["metadata"]["uid"], _restarts_of(pod)) for pod in bench.pods()}
    away = bench.cluster.control_plane.restart_api_server(away=_AWAY_S)
    bench.remarks.append(f"the API server was away for {away:.0f} s")
    bench.rolled_out()
    after = {(pod["metadata"]["uid"], _restarts_of(pod)) for pod in bench.pods()}
    bench.expect(before == after, "pods were replaced or restarted")


@scenario
def scaled_out_and_in(bench: Bench) -> None:
    """Scale from one replica to eight, and back to one."""
    bench.scale(1)
    bench.scale(8)
    bench.scale(1)
    bench.scale(2)


@scenario
def upgraded_and_rolled_back(bench: Bench) -> None:
    """Upgrade the release with another setting, and roll it back."""
    bench.release.upgrade({"BATCH_MAX_ROWS": "2000"})
    bench.expect(_batch(bench) == "2000", "the setting did not reach the pods")
    bench.settled()
    bench.release.roll_back()
    bench.expect(_batch(bench) is None, "the setting is still there after the rollback")


def _batch(bench: Bench) -> str | None:
    [container] = only(bench.pods())["spec"]["containers"]
    found = [one["value"] for one in container["env"] if one["name"] == "BATCH_MAX_ROWS"]
    return found[0] if found else None
