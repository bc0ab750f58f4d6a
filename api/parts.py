"""What the routes work with, made once per application."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from api.database import Database
from api.live import Live
from api.metrics import Metrics
from api.page.figures import Figures
from api.producer import Gateway
from api.settings import RegistrySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The servers behind this one, and what is counted."""

    database: Database
    gateway: Gateway
    live: Live
    figures: Figures
    metrics: Metrics
    retention_days: int
    registry: RegistrySettings


def parts_of(request: Request) -> Parts:
    return cast("Parts", request.app.state.parts)


TheParts = Annotated[Parts, Depends(parts_of)]
