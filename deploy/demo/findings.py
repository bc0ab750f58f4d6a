"""What the demo shows at its end: the speed, some devices, and where to look further."""

import sys
from collections.abc import Mapping
from pathlib import Path

import duckdb
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.demo.processes import Processes
from deploy.demo.sending import Fleet, acknowledged
from deploy.demo.visibility import Visibility
from deploy.replica import ROOT
from producer_sim.ledger.ledger import parts
from runtime.postgres.session import connect


def show_speed(visibility: Visibility, ledger: Path, *, console: Console) -> None:
    """Print the rate from the first message sent to the last one stored, and the delays."""
    seconds = (visibility.last_change_us - _first_sent_us(ledger)) / 1e6
    median, late = visibility.quantiles(ledger, [0.5, 0.99])
    console.print(
        Text(f"{acknowledged([ledger]) / max(seconds, 1e-3):,.0f} messages/s", style="bold"),
        f"from the first sent to the last stored; from sent to visible: p50 {median:.2f} s,"
        f" p99 {late:.2f} s (sent faster than stored: it is mostly the wait in the backlog)",
    )


def show_devices(database_url: str, fleet: str, *, console: Console) -> None:
    """Print the current state of some devices of the fleet."""
    table = Table(title="Current state of some devices", box=box.SIMPLE_HEAD)
    for header in ("device", "recorded at (UTC)", "kWh", "V", "SoC %", "°C"):
        table.add_column(header, no_wrap=True)
    with connect(database_url, application_name="wattline-demo") as connection:
        rows = connection.execute(
            """
            (SELECT vehicle_id, recorded_at, kwh_delivered_dc, NULL, soc, battery_temp
             FROM vehicle_current_state JOIN vehicle USING (vehicle_id)
             WHERE starts_with(vehicle_id, %(vehicles)s) AND reading_kind = 'interval'
             ORDER BY kwh_delivered_dc DESC LIMIT 3)
            UNION ALL
            (SELECT meter_id, recorded_at, kwh_consumed_ac, voltage, NULL, NULL
             FROM meter_current_state JOIN meter USING (meter_id)
             WHERE starts_with(meter_id, %(meters)s) AND reading_kind = 'interval'
             ORDER BY kwh_consumed_ac DESC LIMIT 3)
            """,
            {"vehicles": f"veh-{fleet}", "meters": f"mtr-{fleet}"},
        ).fetchall()
    for device, recorded_at, *measures in rows:
        shown = ["" if measure is None else f"{measure:g}" for measure in measures]
        table.add_row(device, f"{recorded_at:%F %T}", *shown)
    console.print(table)


def show_where_to_look(
    environment: Mapping[str, str],
    processes: Processes,
    fleet: Fleet,
    *,
    folder: Path,
    console: Console,
) -> None:
    """Print commands and addresses that show more of what the demo has left running."""
    name = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    python = Path(sys.executable)
    python = python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
    console.print("To look further:", style="bold")
    group = f"CONSUMER_GROUP={environment['CONSUMER_GROUP']} {python} -m"
    sent = " ".join(str(name / ledger.relative_to(folder)) for ledger in fleet.written())
    lines = [
        f'eval "$({python} -m deploy.local env --dir {name})"',
        f"{python} -m deploy.local psql --dir {name}",
        f"{group} consumer dead-letters list",
        f"{group} producer_sim verify {sent} --answers {processes.api.address}",
        f"metrics: {'  '.join(f'{one.address}/metrics' for one in processes.consumers)}",
        f"logs: {name / 'logs'}",
    ]
    for line in lines:
        console.print(f"  {line}", soft_wrap=True)


def _first_sent_us(ledger: Path) -> int:
    """Return when the first message of the ledger was sent, in microseconds since 1970 UTC."""
    question = "SELECT min(sent_at) FROM read_parquet(?)"
    with duckdb.connect() as database:
        row = database.execute(question, [[str(part) for part in parts(ledger)]]).fetchone()
    return int(row[0]) if row and row[0] is not None else 0
