"""docker-compose.yml as it is tried: the same services, beside whatever else runs here. Pure."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def images(composition: Mapping[str, Any]) -> dict[str, str]:
    """Return the image of each service that is not built from this repository."""
    services = composition["services"]
    return {name: one["image"] for name, one in services.items() if "build" not in one}


def tried(
    composition: Mapping[str, Any], *, stand_ins: Mapping[str, str], left_out: Collection[str]
) -> dict[str, Any]:
    """Return a copy with other images for some services, without others, on ports that are free.

    `composition` is what `docker compose config` prints. What is built is not built again.
    """
    changed = deepcopy(dict(composition))
    services = {n: one for n, one in changed["services"].items() if n not in left_out}
    for name, service in services.items():
        service.pop("build", None)
        service["image"] = stand_ins.get(name, service["image"])
        for port in service.get("ports", ()):
            port.pop("published", None)
        for other in left_out:
            service.get("depends_on", {}).pop(other, None)
    return {**changed, "services": services}


def left_open(example: str) -> list[str]:
    """Return the names that the example of an .env file leaves open."""
    lines = (line.strip() for line in example.splitlines())
    return [line[:-1] for line in lines if line.endswith("=") and not line.startswith("#")]
