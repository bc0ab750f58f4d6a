"""A TCP proxy with the faults of a network: cut, silence, latency, a reset at a chosen byte."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Self

UP, DOWN = "up", "down"
"""From the client to the server, and back."""

_BLOCK = 1 << 16
_LOOK_S = 0.05
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends RST


@dataclass(eq=False)
class _Link:
    """One connection: the client's side and the server's."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    swallows_answer: bool = False
    pipes: list[asyncio.Future[None]] = field(default_factory=list)

    def reset(self) -> None:
        for side in (self.near, self.far):
            raw = side.transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            side.transport.abort()


@dataclass
class Faults:
    """What happens to bytes that pass; changed from any thread at any time."""

    latency: float = 0.0
    """Seconds that each block takes, in each direction."""
    silent: frozenset[str] = frozenset()
    """Directions in which nothing arrives, and nothing is refused."""
    reset_after: dict[str, int] = field(default_factory=dict)
    """Direction → bytes of all connections that still pass before the one at fault is reset."""
    swallow_answer_to: bytes = b""
    """Once the client has sent this, the answer is dropped and the connection reset."""


class Proxy:
    """Forwards a port of its own to `host:port`, as its faults let it."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        # Keeps the port while nobody listens on it: else another program might get it.
        self._holder = socket.socket()
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener: socket.socket | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._links: set[_Link] = set()
        self.port = 0
        self.faults = Faults()
        self.resets = 0

    def __enter__(self) -> Self:
        self._holder.bind(("127.0.0.1", 0))
        self.port = self._holder.getsockname()[1]
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._holder.close()

    def open(self) -> None:
        """Listen, on the same port as before."""
        self._run(self._open())

    def cut(self) -> None:
        """Refuse new connections and reset the present ones."""
        self._run(self._cut())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._let_in, self._listener)

    def _let_in(self, listener: socket.socket) -> None:
        # Not asyncio's server: closed while it lets a client in, it leaves half a transport (3.11).
        with contextlib.suppress(OSError):
            client, _ = listener.accept()
            task = self._loop.create_task(self._serve(client))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _cut(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            self._loop.remove_reader(listener)
            listener.close()
        # The pipes, not the tasks that serve them: asyncio complains of a cancelled one (3.11).
        # Again and again, because the link of a client may still be in the making.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for link in self._links:
                for pipe in link.pipes:
                    pipe.cancel()
            await asyncio.wait(others, timeout=_LOOK_S)

    async def _serve(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=client)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, far_writer)
        self._links.add(link)
        link.pipes = [
            asyncio.ensure_future(self._pipe(link, reader, far_writer, UP)),
            asyncio.ensure_future(self._pipe(link, far_reader, writer, DOWN)),
        ]
        try:
            await asyncio.wait(link.pipes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pipe in link.pipes:
                pipe.cancel()
            self._links.discard(link)
            link.reset()

    async def _pipe(
        self,
        link: _Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: str,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_BLOCK):
                faults = self.faults
                if faults.latency:
                    await asyncio.sleep(faults.latency)
                while direction in self.faults.silent:
                    await asyncio.sleep(0.01)
                if direction == DOWN and link.swallows_answer:
                    self.resets += 1
                    return
                word = faults.swallow_answer_to
                if direction == UP and word and word in data:
                    link.swallows_answer = True
                passing = self._passing(direction, len(data))
                writer.write(data[:passing])
                await writer.drain()
                if passing < len(data):
                    self.resets += 1
                    return

    def _passing(self, direction: str, length: int) -> int:
        """Return how many of these bytes pass; the last ones before a reset are fewer."""
        left = self.faults.reset_after.get(direction)
        if left is None:
            return length
        if left < length:
            del self.faults.reset_after[direction]
            return left
        self.faults.reset_after[direction] = left - length
        return length
