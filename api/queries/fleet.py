"""How well all vehicles were charged together."""

from api.models.energy import Anomaly, Counts, Energy, Fleet, Share, WindowOut
from api.postgres.database import Connection
from api.queries.refusals import backlog_explained
from api.queries.rows import only_row
from api.queries.statements import statement
from api.queries.windows import Window


async def fleet_performance(connection: Connection, window: Window) -> Fleet:
    """Return the fleet's energy and ratio in a window, its vehicles by status, and the worst.

    Raises Problem (503) while too many late readings are not rolled up.
    """
    with backlog_explained():
        row = await only_row(
            connection, statement("fleet_performance"), start=window.start, end=window.end
        )
    ac, dc = row["ac_kwh"], row["dc_kwh"]
    return Fleet(
        window=WindowOut(start=window.start, end=window.end, as_of=row["as_of"]),
        energy=Energy(ac_kwh=ac, dc_kwh=dc, loss_kwh=ac - dc),
        efficiency=Share(ratio=dc / ac if ac else None),
        vehicles=Counts.model_validate(row),
        worst=[Anomaly.model_validate(one) for one in row["worst"]],
    )
