"""How well all vehicles were charged together: by status, and as one answer."""

from datetime import datetime

from psycopg.rows import DictRow

from api.models.energy import STATUSES, Anomaly, Counts, Energy, Fleet, Share, WindowOut
from api.postgres.database import Connection
from api.queries.refusals import backlog_explained
from api.queries.rows import only_row
from api.queries.statements import statement
from api.queries.windows import Window


async def fleet_by_status(connection: Connection, start: datetime, end: datetime) -> DictRow:
    """Return the columns of the statement; a status that no vehicle has is not in `statuses`.

    Raises Problem (503) while too many late readings are not rolled up.
    """
    with backlog_explained():
        return await only_row(connection, statement("fleet_by_status"), start=start, end=end)


async def fleet_performance(connection: Connection, window: Window) -> Fleet:
    """Return the fleet's energy and ratio in a window, its vehicles by status, and the worst.

    Raises Problem (503) while too many late readings are not rolled up.
    """
    row = await fleet_by_status(connection, window.start, window.end)
    ac, dc = row["judged_ac_kwh"], row["judged_dc_kwh"]
    vehicles = {status: group["vehicles"] for status, group in row["statuses"].items()}
    return Fleet(
        window=WindowOut(start=window.start, end=window.end, as_of=row["as_of"]),
        energy=Energy(ac_kwh=ac, dc_kwh=dc, loss_kwh=ac - dc),
        efficiency=Share(ratio=dc / ac if ac else None),
        vehicles=Counts(total=sum(vehicles.values()), **dict.fromkeys(STATUSES, 0) | vehicles),
        worst=[Anomaly.model_validate(one) for one in row["worst"]],
    )
