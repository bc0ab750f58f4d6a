"""The network of a run: loopback, and one bridge that all pods are on."""

import ipaddress
import json
import subprocess
from pathlib import Path

BRIDGE = "wattline"
SUBNET = ipaddress.IPv4Network("10.213.7.0/24")
SERVERS = "10.213.7.1"
"""Where Kafka, PostgreSQL and the API server listen for pods."""
PLUGINS = Path("/usr/lib/cni")


def node_address(number: int) -> str:
    """Return the address of a node, 1 or 2."""
    return str(SUBNET[1 + number])


def open_bridge(nodes: int) -> None:
    """Bring up loopback, and the bridge with the addresses of the servers and of the nodes."""
    _ip("link", "set", "lo", "up")
    _ip("link", "add", BRIDGE, "type", "bridge")
    for address in (SERVERS, *(node_address(1 + number) for number in range(nodes))):
        _ip("address", "add", f"{address}/{SUBNET.prefixlen}", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")


def write_plugins(folder: Path, *, number: int) -> None:
    """Write what a node tells the network plugins: a third of the subnet is its pods'."""
    folder.mkdir(parents=True)
    first = 20 + (number - 1) * 100
    addresses = {
        "subnet": str(SUBNET),
        "rangeStart": str(SUBNET[first]),
        "rangeEnd": str(SUBNET[first + 99]),
    }
    plugins = {
        "cniVersion": "0.4.0",
        "name": BRIDGE,
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[addresses]],
                    "dataDir": str(folder / "leases"),
                },
            }
        ],
    }
    (folder / "wattline.conflist").write_text(json.dumps(plugins))


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=10)
