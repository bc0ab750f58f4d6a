"""How well vehicles were charged: one, all, and those that stand out."""

from datetime import UTC, datetime
from typing import Annotated, cast

from fastapi import APIRouter, Query

from api.models.energy import Anomaly, Fleet, MeterPerformance, Performance
from api.pagination import After, Limit, Page, page_of, read_cursor
from api.parameters import DevicePath, End, Start
from api.parts import TheParts
from api.postgres.database import Connection
from api.queries.anomalies import Place, select_anomalies
from api.queries.begin import device_begin
from api.queries.fleet import fleet_performance
from api.queries.fleet_day import fleet_begin
from api.queries.meter_performance import meter_performance
from api.queries.performance import vehicle_performance
from api.queries.windows import Window, cut_to_first, window
from api.routes.answers import MANY, ONE
from api.times import format_time
from telemetry.readings import DEVICE_ID
from telemetry.streams import METER, VEHICLE, Stream

router = APIRouter(prefix="/v1/analytics", tags=["analytics"])

_DEFAULT_THRESHOLD = 85.0


@router.get("/performance/{vehicle_id}", **ONE)
async def performance(
    parts: TheParts,
    vehicle_id: DevicePath,
    start: Start = None,
    end: End = None,
    meter_id: Annotated[
        str | None,
        Query(
            alias="meterId",
            pattern=f"^{DEVICE_ID}$",
            max_length=64,
            description="count all energy of this meter, whatever sessions and assignments say",
        ),
    ] = None,
) -> Performance:
    """A vehicle's efficiency, DC delivered ÷ AC drawn, and how far it can be trusted."""
    asked = window(start, end, now=datetime.now(UTC))
    async with parts.database.snapshot() as connection:
        if start is None:
            asked = await _since_first(connection, VEHICLE, vehicle_id, asked)
        return await vehicle_performance(connection, vehicle_id, asked, meter_id=meter_id)


@router.get("/meters/{meter_id}/performance", **ONE)
async def of_meter(
    parts: TheParts, meter_id: DevicePath, start: Start = None, end: End = None
) -> MeterPerformance:
    """What a meter drew, what the vehicles took that it served, and the ratio of both."""
    asked = window(start, end, now=datetime.now(UTC))
    async with parts.database.snapshot() as connection:
        if start is None:
            asked = await _since_first(connection, METER, meter_id, asked)
        return await meter_performance(connection, meter_id, asked)


async def _since_first(
    connection: Connection, stream: Stream, device_id: str, asked: Window
) -> Window:
    """Return the window cut to begin with the hour of the device's first stored reading."""
    row = await device_begin(connection, stream, device_id, asked.start, asked.end)
    return cut_to_first(asked, row)


async def _since_fleets_first(connection: Connection, asked: Window) -> Window:
    """Return the window cut to begin with the hour of the first stored reading of any vehicle."""
    return cut_to_first(asked, await fleet_begin(connection, asked.start, asked.end))


@router.get("/fleet/performance", **MANY)
async def fleet(parts: TheParts, start: Start = None, end: End = None) -> Fleet:
    """The efficiency of all vehicles together, their number by status, and the ten worst.

    By default the last 24 hours, from a whole hour on, because whole hours are answered fast.
    """
    asked = window(start, end, now=datetime.now(UTC), on_the_hour=True)
    async with parts.database.snapshot() as connection:
        if start is None:
            asked = await _since_fleets_first(connection, asked)
        return await fleet_performance(connection, asked)


@router.get("/anomalies", **MANY)
async def anomalies(
    parts: TheParts,
    *,
    threshold: Annotated[
        float,
        Query(
            ge=0,
            le=1_000,
            allow_inf_nan=False,
            description="per cent; vehicles below it are listed",
        ),
    ] = _DEFAULT_THRESHOLD,
    start: Start = None,
    end: End = None,
    limit: Limit = 100,
    after: After = None,
) -> Page[Anomaly]:
    """The vehicles that took more DC than AC was drawn, and those below the threshold.

    By default the last 24 hours, from a whole hour on, because whole hours are answered fast.
    """
    place, ends = _read_place(after)
    asked = window(*(ends or (start, end)), now=datetime.now(UTC), on_the_hour=True)
    async with parts.database.snapshot() as connection:
        if start is None and ends is None:
            asked = await _since_fleets_first(connection, asked)
        rows = await select_anomalies(
            connection, asked, threshold=threshold, after=place, limit=limit + 1
        )
    start, end = format_time(asked.start), format_time(asked.end)
    return page_of(
        rows,
        limit,
        lambda row: row[1],
        lambda row: [*row[0], start, end],
    )


def _read_place(after: str | None) -> tuple[Place, tuple[str, str] | None]:
    """Return the place that a cursor holds, and the window of the first page.

    The pages that follow keep that window, because the default one moves on.
    """
    key = read_cursor(after, int, float, str, str, str)
    if key is None:
        return Place(), None
    rank, weight, vehicle_id, start, end = key
    return Place(cast("int", rank), cast("float", weight), str(vehicle_id)), (str(start), str(end))
