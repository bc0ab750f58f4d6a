"""How well vehicles were charged: one, all, and those that stand out."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from psycopg.rows import DictRow

from api.models import (
    Anomaly,
    Battery,
    Counts,
    Efficiency,
    Energy,
    Fleet,
    Hour,
    MeterSpan,
    Performance,
    Quality,
    Share,
    WindowOut,
)
from api.pagination import After, Limit, Page, page_of, read_cursor
from api.parts import TheParts
from api.problems import Problem, describe_problems
from api.queries.notes import refused_while_noted
from api.queries.statements import statement
from api.queries.windows import Window, window
from api.routes.state import End, Start
from api.times import format_time
from telemetry.readings import DEVICE_ID

router = APIRouter(prefix="/v1/analytics", tags=["analytics"])

_ONE: dict[str, Any] = {"responses": describe_problems(401, 404, 422, 429, 503)}
_MANY: dict[str, Any] = {"responses": describe_problems(401, 422, 429, 503)}
_MESSAGES = {
    "implausible": "more DC was delivered than AC drawn: check the meters and their assignment",
    "insufficient_data": "too little energy or too few readings to judge",
    "no_meter": "no meter was assigned and no session ran",
}
_DEFAULT_THRESHOLD = 85.0


@router.get("/performance/{vehicle_id}", **_ONE)
async def performance(
    parts: TheParts,
    vehicle_id: Annotated[str, Path(pattern=f"^{DEVICE_ID}$", max_length=64)],
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
    """A vehicle's efficiency, DC delivered ÷ AC drawn, with all that it takes to trust it."""
    asked = window(start, end, now=datetime.now(UTC))
    parameters = {
        "vehicle_id": vehicle_id,
        "start": asked.start,
        "end": asked.end,
        "meter_id": meter_id,
    }
    async with parts.database.read() as connection:
        cursor = await connection.execute(statement("performance"), parameters)
        row = await cursor.fetchone()
        assert row is not None  # noqa: S101  it has one row, always
        if not row["vehicle_readings"]:
            cursor = await connection.execute(statement("vehicle_known"), parameters)
            known = await cursor.fetchone()
            if known is None or not known["known"]:
                raise Problem(404, f"no vehicle {vehicle_id} has been heard of")
    return _performance(vehicle_id, asked, row)


@router.get("/fleet/performance", **_MANY)
async def fleet(parts: TheParts, start: Start = None, end: End = None) -> Fleet:
    """The efficiency of all vehicles together, how many are how well, and the ten worst.

    By default the last 24 hours, begun on the hour: whole hours are answered fast.
    """
    asked = window(start, end, now=datetime.now(UTC), on_the_hour=True)
    async with parts.database.read() as connection:
        with refused_while_noted():
            cursor = await connection.execute(
                statement("fleet"), {"start": asked.start, "end": asked.end}
            )
        row = await cursor.fetchone()
    assert row is not None  # noqa: S101  it has one row, always
    ac, dc = row["ac_kwh"], row["dc_kwh"]
    return Fleet(
        window=WindowOut(start=asked.start, end=asked.end, as_of=row["as_of"]),
        energy=Energy(ac_kwh=ac, dc_kwh=dc, loss_kwh=ac - dc),
        efficiency=Share(ratio=dc / ac if ac else None),
        vehicles=Counts.model_validate(row),
        worst=[Anomaly.model_validate(one) for one in row["worst"]],
    )


@router.get("/anomalies", **_MANY)
async def anomalies(
    parts: TheParts,
    *,
    threshold: Annotated[
        float,
        Query(ge=0, le=1_000, allow_inf_nan=False, description="per cent; below it stands out"),
    ] = _DEFAULT_THRESHOLD,
    start: Start = None,
    end: End = None,
    limit: Limit = 100,
    after: After = None,
) -> Page[Anomaly]:
    """The vehicles that took more DC than AC was drawn, and those below the threshold.

    By default the last 24 hours, begun on the hour: whole hours are answered fast.
    """
    # A page that follows is of the first one's window: by now the default is another.
    rank, weight, last_id, *span = read_cursor(after, int, float, str, str, str) or (-1, 0.0, "")
    first, last = map(str, span) if span else (start, end)
    asked = window(first, last, now=datetime.now(UTC), on_the_hour=True)
    parameters = {
        "start": asked.start,
        "end": asked.end,
        "threshold": threshold,
        "after_rank": rank,
        "after_weight": weight,
        "after_id": last_id,
        "limit": limit + 1,
    }
    async with parts.database.read() as connection:
        with refused_while_noted():
            cursor = await connection.execute(statement("anomalies"), parameters)
        rows = await cursor.fetchall()
    ends = [format_time(asked.start), format_time(asked.end)]
    return page_of(
        rows,
        limit,
        Anomaly.model_validate,
        lambda row: [row["rank"], row["weight"], row["vehicle_id"], *ends],
    )


def _performance(vehicle_id: str, asked: Window, row: DictRow) -> Performance:
    percentage = None if row["percentage"] is None else float(row["percentage"])
    said = f"{percentage} % of the AC drawn was delivered as DC"
    return Performance(
        vehicle_id=vehicle_id,
        window=WindowOut(start=asked.start, end=asked.end, as_of=row["as_of"]),
        energy=Energy.model_validate(row),
        efficiency=Efficiency(
            ratio=row["ratio"],
            percentage=percentage,
            status=row["status"],
            message=_MESSAGES.get(row["status"], said),
        ),
        battery=Battery(average_temperature_c=row["average_temperature_c"]),
        meters=[MeterSpan.model_validate(span) for span in row["meters"]],
        quality=Quality.model_validate(row),
        sessions=row["sessions"],
        hourly=[Hour.model_validate(hour) for hour in row["hourly"]],
    )
