"""A process' metrics as Prometheus reads them, at next to no cost however many ask."""

import asyncio
import time

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

# Rendering takes at most this share of a core, and nobody waits for longer than this for the rest
# that it makes so.
_SHARE = 1 / 20
_LONGEST_REST_S = 1.0


class Exposition:
    """Renders a registry on a thread, one at a time: all who ask meanwhile share the next one.

    So what is shown was counted after it was asked for, and those who ask too often wait.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[bytes] | None = None
        self._not_before = 0.0

    async def text(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        if self._next is None:
            self._next = asyncio.create_task(self._rendered())
        # Those who share it do not end it when one of them goes.
        return await asyncio.shield(self._next)

    async def answer(self, _: Request) -> Response:
        """Answer a request with the metrics."""
        return Response(await self.text(), media_type=CONTENT_TYPE_LATEST)

    async def _rendered(self) -> bytes:
        loop = asyncio.get_running_loop()
        async with self._turn:
            await asyncio.sleep(self._not_before - loop.time())
            # Whoever asks from here on is shown what is counted from here on.
            self._next = None
            text, seconds = await asyncio.to_thread(self._render)
            self._not_before = loop.time() + min(seconds / _SHARE, _LONGEST_REST_S)
            return text

    def _render(self) -> tuple[bytes, float]:
        """Return the text and the seconds of a core that it took."""
        begun = time.thread_time()
        text = generate_latest(self._registry)
        return text, time.thread_time() - begun


def metrics_alone(exposition: Exposition) -> Starlette:
    """Return an application that has `/metrics` and nothing else."""
    app = Starlette(routes=[Route("/metrics", exposition.answer)])
    # Its redirects would follow what the client says that the host is.
    app.router.redirect_slashes = False
    return app
