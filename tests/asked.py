"""An application that runs in the test's own loop, asked over ASGI."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI

PATIENCE_S = 30.0
# Bodies are given to the client as bytes, too.
JSON = {"Content-Type": "application/json"}


@asynccontextmanager
async def asked(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Run the application and ask it over ASGI."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://localhost",
            headers=JSON,
            timeout=PATIENCE_S,
        ) as one,
    ):
        await topics_made()
        yield one


async def topics_made() -> None:
    """Wait a moment for the task that makes the topics.

    aiokafka leaves a connection open that it is just making when it is cancelled.
    """
    looked_for = [task for task in asyncio.all_tasks() if task.get_name() == "topics"]
    if looked_for:
        await asyncio.wait(looked_for, timeout=1.0)
