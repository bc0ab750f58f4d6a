"""What routes work with: clients, background work and metrics, made once per application."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Self, cast

from fastapi import Depends, Request

from api.figures.figures import Figures
from api.identity.known import Known
from api.ingest.gateway import Gateway
from api.ingest.turns import Turns
from api.live.stream import Live
from api.metrics import Metrics
from api.middleware.as_of import note_as_of
from api.middleware.caller import caller_of
from api.postgres.database import Database
from api.postgres.probe import Probes
from api.postgres.replay import Replay
from api.readiness import Readiness
from api.settings import RegistrySettings, Settings
from runtime.http.certificate import Certificate
from runtime.http.exposition import Exposition


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The clients of the servers behind this one, the work in the background, and the metrics."""

    database: Database
    probes: Probes
    gateway: Gateway
    live: Live
    turns: Turns
    figures: Figures
    metrics: Metrics
    exposition: Exposition
    readiness: Readiness
    retention_days: int
    registry: RegistrySettings
    known: Known
    certificate: Certificate | None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the parts; none of them connects before `api.lifespan` runs them.

        Raises SettingsError for a file of clients or of a certificate that cannot be used.
        """
        metrics = Metrics()
        replay = Replay()
        known = Known(settings.access)
        certificate = Certificate.of(settings.listen, metrics.certificate_expiry)
        database = Database(
            settings.pool,
            replay=replay,
            note_refused=lambda lane: metrics.refused.labels(f"lane_{lane}").inc(),
        )
        metrics.watch(database)
        gateway = Gateway(kafka=settings.kafka, settings=settings.gateway)
        probes = Probes(settings.pool, replay=replay)
        return cls(
            database=database,
            probes=probes,
            gateway=gateway,
            live=Live(database=database, metrics=metrics, settings=settings.live),
            turns=Turns(),
            figures=Figures(
                database=database, kafka=settings.kafka, group=settings.group.consumer_group
            ),
            metrics=metrics,
            exposition=Exposition(metrics.registry),
            readiness=Readiness({"database": probes.ping, "kafka": gateway.ping}),
            retention_days=settings.gateway.history_retention_days,
            registry=settings.registry,
            known=known,
            certificate=certificate,
        )


# Async, since FastAPI would run it on a thread otherwise.
async def parts_of(request: Request) -> Parts:
    """Return the parts, with a database that knows the caller of this request."""
    parts = cast("Parts", request.app.state.parts)
    note = partial(note_as_of, request.scope)
    return replace(parts, database=parts.database.by(caller_of(request.scope), note_as_of=note))


TheParts = Annotated[Parts, Depends(parts_of)]
