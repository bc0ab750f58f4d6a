"""The pages as HTTP: statuses, headers, what is refused, an outage, and figures that agree."""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.rows import dict_row

import api.settings
import consumer.settings
from api.models.energy import MeterSpan
from api.page.reference import operations
from api.page.words import DASH
from api.queries.performance import vehicle_charging
from api.queries.vehicle_day import Span, vehicle_coverage
from api.queries.windows import Window
from consumer.postgres.migrations import schema_text
from deploy.local.stack import Addresses
from runtime.postgres.arrays import load_arrays
from tests.page.conftest import Site, serving
from tests.page.shown import cells, tile


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.address, timeout=60) as client:
        yield client


@pytest.mark.parametrize(
    "day", ["yesterday", "2026-02-30", "20260210", "1999-12-31", "2999-01-01", "'", "<b>"]
)
def test_an_invalid_day_is_refused_in_words(client: httpx.Client, day: str) -> None:
    answer = client.get("/vehicles/veh-00003", params={"day": day})
    assert answer.status_code == 422
    assert "text/html" in answer.headers["Content-Type"]
    assert "The day should" in answer.text
    assert "<b>" not in answer.text


@pytest.mark.parametrize("vehicle_id", ["%3Cscript%3E", "a%20b", "%00", "x" * 65, "%E2%82%AC"])
def test_an_invalid_id_is_refused_in_words(client: httpx.Client, vehicle_id: str) -> None:
    for path in (f"/vehicles/{vehicle_id}", f"/vehicles?q={vehicle_id}"):
        answer = client.get(path)
        assert answer.status_code == 422
        assert "An id has 1 to 64" in answer.text
        assert "<script>" not in answer.text


def test_an_unknown_vehicle_is_not_found(client: httpx.Client) -> None:
    answer = client.get("/vehicles/nobody")
    assert answer.status_code == 404
    assert "Vehicle nobody is not known" in answer.text


def test_files_may_be_kept_for_ever_at_their_newest_address_only(client: httpx.Client) -> None:
    page = client.get("/").text
    addresses = {part.split('"')[0] for part in page.split('="/static/')[1:]}
    assert len(addresses) == 3
    for address in addresses:
        answer = client.get(f"/static/{address}")
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        old = client.get(f"/static/{address.split('?')[0]}?v=0")
        assert old.headers["Cache-Control"] == "no-cache"
    assert client.get("/").headers["Cache-Control"] == "no-store"
    for outside in ("none.css", "..%2f__init__.py", "%2fetc%2fpasswd", "../routes.py"):
        assert client.get(f"/static/{outside}").status_code == 404


def test_the_policy_allows_nothing_inline_and_nothing_foreign(client: httpx.Client) -> None:
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_the_reference_has_every_operation(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    page = client.get("/docs").text
    known = [one for all_of_tag in operations(document).values() for one in all_of_tag]
    assert len(known) == sum(len(methods) for methods in document["paths"].values())
    for operation in known:
        assert f'id="{operation.anchor}"' in page
    assert "http://" not in page
    assert "https://" not in page


def test_the_pages_show_the_consumers_default_group() -> None:
    ours, theirs = (
        section.model_fields["consumer_group"].default
        for section in (api.settings.GroupSettings, consumer.settings.GroupSettings)
    )
    assert ours == theirs


def test_an_outage_of_postgresql_is_a_page_that_says_so(
    servers: Addresses, site: Site, tmp_path: Path
) -> None:
    nowhere = "postgresql://nobody:nothing@127.0.0.1:9/none"
    with serving(nowhere, servers, tmp_path, DATABASE_POOL_TIMEOUT_S="0.2") as api:
        for path in ("/", "/vehicles", "/vehicles/veh-00003"):
            answer = httpx.get(api.address + path, timeout=60)
            assert answer.status_code == 503
            assert answer.headers["Retry-After"]
            assert "PostgreSQL cannot be reached" in answer.text
            assert "Traceback" not in answer.text
            assert "nobody" not in answer.text
        assert httpx.get(api.address + "/docs", timeout=60).status_code == 200


def test_a_database_without_the_schema_is_reported_until_it_is_applied(
    servers: Addresses, database_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    with serving(database_url, servers, tmp_path) as api:
        answer = httpx.get(api.address, timeout=60)
        assert answer.status_code == 503
        assert "apply the schema" in answer.text
        with psycopg.connect(database_url) as connection:
            connection.execute(schema_text())
        while answer.status_code == 503:
            answer = httpx.get(api.address, timeout=60)
        assert answer.status_code == 200
        assert "No vehicle can be judged" in answer.text or "being computed" in answer.text


def test_the_strips_add_up_to_the_coverage(site: Site) -> None:
    end = datetime.now(UTC)
    window = Window(end - timedelta(hours=24), end)
    asyncio.run(_compare_strips(site.database_url, window))


async def _compare_strips(url: str, window: Window) -> None:
    async with await AsyncConnection.connect(url, row_factory=dict_row) as connection:
        load_arrays(connection)
        for table, device in (("meter", "mtr-00020"), ("vehicle", "veh-00021")):
            await connection.execute(
                f"INSERT INTO {table} ({table}_id, reading_kind) VALUES (%s, 'register')"
                f" ON CONFLICT ({table}_id) DO UPDATE SET reading_kind = 'register'",
                [device],
            )
        ids = await connection.execute("SELECT vehicle_id FROM vehicle_current_state")
        for row in await ids.fetchall():
            name = row["vehicle_id"]
            said, charging = await vehicle_charging(connection, name, window)
            # To the microsecond, finer than any chart.
            strips = vehicle_coverage(charging, name, window, apart=timedelta(), limit=1_000_000)
            own = total(strips.pop(name))
            assert own / 86_400 == pytest.approx(said.quality.vehicle_coverage, abs=1e-9)
            if responsible := total(said.meters):
                theirs = sum(total(strip) for strip in strips.values())
                assert theirs / responsible == pytest.approx(said.quality.meter_coverage, abs=1e-6)
        await connection.rollback()


def total(spans: Iterable[Span | MeterSpan]) -> float:
    """Return the seconds that spans last."""
    return sum((span.end - span.start).total_seconds() for span in spans)


def test_tiles_statuses_chart_and_table_of_the_fleet_add_up(client: httpx.Client) -> None:
    while "being computed" in (page := client.get("/").text):
        pass
    *statuses, everyone = cells(page, 'class="statuses"')
    for column in (1, 2, 3):
        told = [number(row[column]) for row in statuses if row[column] != DASH]
        assert sum(told) == pytest.approx(number(everyone[column]), abs=0.5)
    hours = cells(page, 'id="hours-table"')
    for column, name in ((1, "AC drawn"), (2, "DC delivered")):
        drawn = sum(number(row[column]) for row in hours)
        assert tile(page, name).startswith(everyone[column + 1])
        assert drawn == pytest.approx(number(everyone[column + 1]), rel=2e-3)
    judged = [row for row in statuses if row[0] in ("optimal", "degraded", "critical")]
    ac, dc = (sum(number(row[column]) for row in judged) for column in (2, 3))
    shown_ratio = float(tile(page, "Ratio of the fleet").split(" %")[0])
    assert shown_ratio == pytest.approx(100 * dc / ac, abs=0.1)
    for row in hours:
        if number(row[3]) > 10:
            ratio = float(row[5].removesuffix(" %"))
            assert ratio == pytest.approx(100 * number(row[4]) / number(row[3]), abs=0.6)


def number(text: str) -> float:
    return float(text.removesuffix(" kWh").replace(",", ""))
