"""What a failed attempt at PostgreSQL leaves in memory."""

import asyncio
import gc
import weakref

import psycopg
import pytest

from consumer.metrics import Metrics
from consumer.postgres.database import Database
from consumer.postgres.refusals import RETENTION
from consumer.settings import DatabaseSettings
from deploy.local.ports import free_ports

ATTEMPTS = 5


async def test_an_error_goes_although_it_and_its_frames_refer_to_each_other(
    metrics: Metrics,
) -> None:
    """The collector, which looks after 100,000 new objects, would come too late."""
    [port] = free_ports(1)
    settings = DatabaseSettings(
        database_url=f"postgresql://u:p@127.0.0.1:{port}/x", database_retry_max_s=0.1
    )
    database = Database(settings=settings, metrics=metrics)
    errors: list[weakref.ref[psycopg.Error]] = []
    enough = asyncio.Event()

    async def attempt() -> None:
        try:
            await database.open()
        except psycopg.Error as error:
            errors.append(weakref.ref(error))
            if len(errors) > ATTEMPTS:
                enough.set()
            raise

    gc.disable()
    try:
        trying = asyncio.create_task(database.patiently(attempt, work=RETENTION))
        await enough.wait()
        assert [error() for error in errors[:ATTEMPTS]] == [None] * ATTEMPTS
        trying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trying
    finally:
        gc.enable()
