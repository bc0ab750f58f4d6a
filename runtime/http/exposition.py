"""`/metrics`: the metrics of this process for Prometheus, at a bounded cost however many ask."""

import asyncio
import time

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runtime.http.problem import explain

# Rendering takes at most this share of a core; the pauses that ensure this have a bound.
_SHARE = 1 / 20
_LONGEST_REST_S = 1.0


class Exposition:
    """Renders a registry on a thread, once at a time; requests that come meanwhile share the next.

    So an answer shows what was counted after it was asked for, and frequent scrapes wait.
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
        # A request that is cancelled does not cancel the others that share the rendering.
        return await asyncio.shield(self._next)

    async def answer(self, _: Request) -> Response:
        """Return the metrics as the answer to a request."""
        return Response(await self.text(), media_type=CONTENT_TYPE_LATEST)

    async def _rendered(self) -> bytes:
        loop = asyncio.get_running_loop()
        async with self._turn:
            await asyncio.sleep(self._not_before - loop.time())
            # Requests from here on share the rendering after this one.
            self._next = None
            text, seconds = await asyncio.to_thread(self._render)
            self._not_before = loop.time() + min(seconds / _SHARE, _LONGEST_REST_S)
            return text

    def _render(self) -> tuple[bytes, float]:
        """Return the text, and the seconds of a core that rendering took."""
        begun = time.thread_time()
        text = generate_latest(self._registry)
        return text, time.thread_time() - begun


def metrics_alone(exposition: Exposition) -> Starlette:
    """Return an application that serves `/metrics` and nothing else."""
    app = Starlette(
        routes=[Route("/metrics", exposition.answer)], exception_handlers={HTTPException: explain}
    )
    # A redirect would go to whatever host the client has named.
    app.router.redirect_slashes = False
    return app
