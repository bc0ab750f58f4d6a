"""`python -m tests.forkserver SOCKET MODULE`: imports the module's program, then forks on request.

A fork becomes what `python -m MODULE ARGUMENT…` is: its own environment, files, session and main
module. Its parent is the process that asked, which may wait for it as for any child.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass
from typing import NoReturn, Self

LENGTH = struct.Struct("!I")
STANDARD_FILES = 3
# What libraries of the simulator's import only when it is needed, but most runs need it.
LATE = [
    *("anyio._backends._asyncio", "confluent_kafka.admin", "httpcore"),
    *("pyarrow.compute", "pyarrow.dataset"),
]
# What `python -m` runs for a name: a package's `__main__`, or the module itself.
IMPORTED = {
    "api": ["api.__main__", "api.app"],
    "consumer": ["consumer.__main__"],
    "producer_sim": ["producer_sim.__main__", *LATE],
    "tests.faults.armed": ["consumer.__main__", "tests.faults.failpoints", "tests.faults.witness"],
}


@dataclass(frozen=True)
class Request:
    """What a fork is to become; `files` are its standard input, output and error."""

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    new_session: bool
    files: list[int]

    @classmethod
    def read(cls, asking: socket.socket) -> Self | None:
        """Return the next request, or None when no process is left to ask."""
        head, files, *_ = socket.recv_fds(asking, LENGTH.size, STANDARD_FILES)
        if not head:
            return None
        (length,) = LENGTH.unpack(head)
        text = asking.recv(length, socket.MSG_WAITALL)
        return cls(**json.loads(text), files=files)


def serve(asking: socket.socket) -> Request | None:
    """Fork for each request; return the request in the fork, and None in the server at its end.

    Between the server and a fork is a process that ends at once, so that the fork is an orphan,
    which the process that asked adopts.
    """
    while request := Request.read(asking):
        between = os.fork()
        if between == 0:
            ready, tell = os.pipe()
            pid = os.fork()
            if pid == 0:
                become(request)
                os.close(ready)
                os.close(tell)
                return request
            os.close(tell)
            os.read(ready, 1)  # what is promised of a new process holds before it is told of
            asking.sendall(LENGTH.pack(pid))
            os._exit(0)
        os.waitpid(between, 0)
        for file in request.files:
            os.close(file)
        asking.sendall(b".")
    return None


def become(request: Request) -> None:
    """Take on the session, files, folder and environment of the request."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request.new_session:
        os.setsid()
    for number, file in enumerate(request.files):
        os.dup2(file, number)
    for file in request.files:
        os.close(file)
    os.chdir(request.folder)
    if request.folder != sys.path[0]:  # which stays what PYTHONPATH says
        sys.path.insert(0, request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    time.tzset()


def main() -> str | None:
    """Return the module that this process is to run, in a fork."""
    asking, module = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's is for the one that asks
    for name in IMPORTED[module]:
        importlib.import_module(name)
    sys.modules.pop(f"{module}.__main__", None)  # to be run again, as the main module
    gc.collect()
    gc.freeze()  # a fork shares what is not written to
    request = serve(asking)
    asking.close()
    if request is None:
        return None
    sys.argv[:] = [module, *request.arguments]
    return module


def leave(code: int) -> NoReturn:
    """End as an interpreter does, but leave the memory to the system.

    To free it object by object would copy all of it first, for it is shared: 40 of the 55 ms that
    a command without work took. `multiprocessing` ends its forks in this way too.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # private
    atexit._run_exitfuncs()
    gc.collect()  # what is dropped, but in a cycle, may have a complaint
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__" and (program := main()):
    code = 0
    try:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            raise  # a message, which the interpreter prints
        code = ended.code or 0
    leave(code)
