"""How the commands reach PostgreSQL and Kafka, and what they say if they cannot."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
from aiokafka.errors import KafkaError
from psycopg.errors import UndefinedColumn, UndefinedFunction, UndefinedTable

from consumer.kafka.admin import PATIENCE_S
from consumer.postgres.connection import Connection, connect
from consumer.settings import DatabaseSettings
from runtime.postgres.schema_version import UnfitSchema, require_schema
from runtime.settings import load
from runtime.terminal import fail

Result = TypeVar("Result")


class Unanswered(Exception):  # noqa: N818  what Kafka left the question
    """Kafka could not be asked. The message is one line."""


def with_database(
    work: Callable[[Connection], Awaitable[Result]], *, needs_schema: bool = True
) -> Result:
    """Run the work on a connection; if PostgreSQL fails, end the command with one line.

    So does a schema that this code does not fit, unless the work is about the schema.
    """
    settings = load(DatabaseSettings)

    async def task() -> Result:
        connection = await connect(settings)
        try:
            if needs_schema:
                await require_schema(connection)
            return await work(connection)
        finally:
            await connection.close()

    try:
        return asyncio.run(task())
    except (UndefinedTable, UndefinedColumn, UndefinedFunction) as error:
        what = error.diag.message_primary
        fail(f"PostgreSQL: {what}; `python -m consumer schema apply` makes it", code=1)
    except UnfitSchema as error:
        fail(str(error), code=1)
    except psycopg.Error as error:
        fail(f"PostgreSQL: {' '.join(str(error).split())}", code=1)


def ask_kafka(question: Callable[[], Awaitable[Result]]) -> Result:
    """Return Kafka's answer; raises Unanswered."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it would log every attempt

    async def answer() -> Result:
        return await question()

    try:
        return asyncio.run(answer())
    except TimeoutError:
        raise Unanswered(f"Kafka: no answer within {PATIENCE_S:.0f} s") from None
    except (KafkaError, OSError) as error:
        raise Unanswered(f"Kafka: {' '.join(str(error).split())}") from error
