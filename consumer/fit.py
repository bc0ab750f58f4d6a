"""Whether this code and the schema fit each other, asked for as long as a replica runs."""

import asyncio
from collections.abc import Awaitable, Callable

from consumer.errors import Outdated
from consumer.postgres.database import Database
from consumer.postgres.refusals import CHECK
from runtime.postgres.schema_version import OutdatedCode, UnfitSchema, require_schema

CHECK_S = 5.0


class Fit:
    """Asks for the schema's version, also while messages are stored: it may change at any time.

    Its answers are also what readiness needs: flushes give one only while there are messages.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known = asyncio.Event()
        self.waits_for: str | None = None
        """What this replica waits for before it fits the schema, one line; None if it fits."""

    async def run(self) -> None:
        """Ask for ever; raises Outdated if the schema is too new for this code."""
        await self._database.regularly(self._ask, work=CHECK, every_s=CHECK_S)

    async def before(self, part: Callable[[], Awaitable[None]]) -> None:
        """Run a part for ever, once it is known that the schema fits.

        A replica that is newer than the schema could store nothing. So it takes no partitions from
        replicas that can, and leaves the tables alone.
        """
        await self._known.wait()
        await part()

    async def _ask(self) -> None:
        async with self._database.connection() as connection:
            try:
                await require_schema(connection)
            except OutdatedCode as error:
                raise Outdated(str(error)) from error
            except UnfitSchema as error:
                self.waits_for = str(error)
                raise
        self.waits_for = None
        self._known.set()
