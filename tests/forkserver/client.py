"""Lets `subprocess` fork our programs from a process that has imported them.

An import of the consumer or of the API takes 0.7 to 1.6 seconds of CPU, and many tests start
several of them. A process is forked only if that makes no difference to a new interpreter: the same
modules, no terminal, no setting of Python's own. All others are started as usual.
"""

import atexit
import ctypes
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from tests.forkserver.__main__ import IMPORTED, LENGTH

ROOT = Path(__file__).parents[2]
SUBREAPER = 36  # prctl(2): orphans below this process become its children
_UNCHANGED = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "OPENBLAS_", "OMP_")

_original = subprocess.Popen
_signature = inspect.signature(_original._execute_child)  # type: ignore[attr-defined]  # private
_usual = {
    "executable": None,
    "preexec_fn": None,
    "pass_fds": (),
    "shell": False,
    "gid": None,
    "gids": None,
    "uid": None,
    "umask": -1,
    "process_group": -1,
}


class Server:
    """A process that has imported a program, and forks it."""

    def __init__(self, module: str) -> None:
        self._asking, theirs = socket.socketpair()
        with theirs:
            self._process = _original(
                [sys.executable, "-m", "tests.forkserver", str(theirs.fileno()), module],
                cwd=ROOT,
                # Threads do not outlive a fork.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def fork(
        self,
        arguments: list[str],
        *,
        folder: str,
        environment: Mapping[str, str],
        new_session: bool,
        files: list[int],
    ) -> int:
        """Return the id of a new process, a child of this one."""
        text = json.dumps(
            {
                "arguments": arguments,
                "folder": folder,
                "environment": dict(environment),
                "new_session": new_session,
            }
        ).encode()
        _adopt_orphans(True)
        try:
            socket.send_fds(self._asking, [LENGTH.pack(len(text))], files)
            self._asking.sendall(text)
            answer = self._asking.recv(LENGTH.size + 1, socket.MSG_WAITALL)
        finally:
            _adopt_orphans(False)
        if len(answer) != LENGTH.size + 1:
            raise ChildProcessError("the process that forks has ended")
        return int(LENGTH.unpack(answer[: LENGTH.size])[0])

    def close(self) -> None:
        self._asking.close()
        self._process.wait()


class Popen(_original[Any]):
    """As `subprocess.Popen`; a program that a server can fork is forked."""

    _servers: ClassVar[dict[str, Server]] = {}
    _lock: ClassVar = threading.Lock()

    def _execute_child(self, *given: Any) -> None:
        call = _signature.bind(self, *given).arguments
        files = [
            number if file == -1 else file
            for number, file in enumerate((call["p2cread"], call["c2pwrite"], call["errwrite"]))
        ]
        environment = call["env"] or os.environ
        is_usual = _is_ours(call) and _has_our_modules(call, environment)
        is_usual = is_usual and _is_as_usual(environment) and not any(map(os.isatty, files))
        if not is_usual:
            super()._execute_child(*given)  # type: ignore[misc]  # private
            return
        _, _, module, *arguments = call["args"]
        with self._lock:
            if module not in self._servers:
                self._servers[module] = Server(module)
            self.pid = self._servers[module].fork(
                [str(argument) for argument in arguments],
                folder=str(_folder(call)),
                environment=environment,
                new_session=call["start_new_session"],
                files=files,
            )
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(call[name] for name in pipes))  # type: ignore[attr-defined]  # private


def install() -> None:
    """Let every `subprocess` of this process fork what can be forked."""
    subprocess.Popen = Popen  # type: ignore[misc]  # on purpose
    atexit.register(_close)


def _close() -> None:
    for server in Popen._servers.values():
        server.close()


def _is_ours(call: Mapping[str, Any]) -> bool:
    """Return whether it is one of our programs, run in no unusual way."""
    args = call["args"]
    return (
        isinstance(args, list)
        and args[:2] == [sys.executable, "-m"]
        and args[2] in IMPORTED
        and all(call[name] == usual for name, usual in _usual.items())
    )


def _has_our_modules(call: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    """Return whether it finds them here: because it runs here, or because it is told."""
    folder, told = _folder(call), environment.get("PYTHONPATH")
    if folder == ROOT:
        return told == os.environ.get("PYTHONPATH")
    package = call["args"][2].partition(".")[0]
    return told == str(ROOT) and folder.is_dir() and not any(folder.glob(f"{package}*"))


def _folder(call: Mapping[str, Any]) -> Path:
    """Return the folder that it runs in."""
    return Path(os.fsdecode(call["cwd"] or ".")).resolve()


def _is_as_usual(environment: Mapping[str, str]) -> bool:
    """Return whether no variable differs that is read only when Python starts."""
    names = {name for name in (*environment, *os.environ) if name.startswith(_UNCHANGED)}
    names.discard("PYTHONPATH")
    return all(environment.get(name) == os.environ.get(name) for name in names)


def _adopt_orphans(wanted: bool) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(SUBREAPER, int(wanted), 0, 0, 0)
