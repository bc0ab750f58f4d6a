"""The definitions of KEDA's and prometheus-operator's resources, from their Go modules."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.needed import lack

MODULES = {
    "github.com/kedacore/keda/v2@v2.21.0": "config/crd/bases",
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": "example/prometheus-operator-crd",
}
WANTED = ("keda.sh_scaledobjects", "coreos.com_podmonitors", "coreos.com_prometheusrules")
SECONDS = 300


def files() -> list[Path]:
    """Return the files of the definitions; skip without Go, in CI fail."""
    go = shutil.which("go")
    if go is None:
        lack("go is not installed: the definitions of KEDA's resources are in its module")
    found = []
    for module, folder in MODULES.items():
        done = subprocess.run(
            [go, "mod", "download", "-json", module],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=os.environ | {"GOFLAGS": "-mod=mod"},
        )
        if done.returncode:
            lack(f"{module} cannot be downloaded: {done.stderr or done.stdout}")
        found += sorted((Path(json.loads(done.stdout)["Dir"]) / folder).glob("*.yaml"))
    return [file for file in found if any(name in file.name for name in WANTED)]


def definitions() -> dict[tuple[str, str], Any]:
    """Return the schemas by API version and kind; a field that they do not know is refused."""
    known = {}
    for file in files():
        spec = yaml.safe_load(file.read_text())["spec"]
        for version in spec["versions"]:
            schema = _closed(version["schema"]["openAPIV3Schema"])
            known[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return known


def _closed(schema: Any) -> Any:
    """Return a schema that refuses the fields that an API server would drop."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    free = closed.get("x-kubernetes-preserve-unknown-fields")
    if closed.get("properties") and closed.get("type") == "object" and not free:
        closed.setdefault("additionalProperties", False)
    if closed.pop("x-kubernetes-int-or-string", False):
        closed.pop("type", None)
    return closed
