"""What the routes work with, made once per application."""

from dataclasses import dataclass, replace
from typing import Annotated, cast

from fastapi import Depends, Request

from api.database import Database
from api.figures.figures import Figures
from api.ingest.producer import Gateway
from api.live import Live
from api.metrics import Metrics
from api.readiness import Readiness
from api.settings import RegistrySettings
from api.sharing.caller import caller_of
from api.sharing.turns import Turns
from runtime.http.exposition import Exposition


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The servers behind this one, and what is counted."""

    database: Database
    gateway: Gateway
    live: Live
    turns: Turns
    figures: Figures
    metrics: Metrics
    exposition: Exposition
    readiness: Readiness
    retention_days: int
    registry: RegistrySettings


# Asynchronous, as FastAPI would ask a thread for it otherwise.
async def parts_of(request: Request) -> Parts:
    """Return the parts, whose database knows who asks."""
    parts = cast("Parts", request.app.state.parts)
    return replace(parts, database=parts.database.by(caller_of(request.scope)))


TheParts = Annotated[Parts, Depends(parts_of)]
