"""The pages as a browser shows them; screenshots are kept in .local/screenshots."""

from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import Site, Visit
from tests.page.world import MARKUP, ODD_ID

MEASURES = (Path(__file__).parent / "measures.js").read_text()
PAGES = ("fleet", "vehicle", "odd", "meterless", "shared", "list", "docs", "missing", "refused")
LOOKS = {
    "light": (1280, False),
    "dark": (1280, True),
    "narrow": (360, False),
    "narrow-dark": (360, True),
}
KEPT = {"fleet": LOOKS, "vehicle": LOOKS, "docs": ("light",), "list": ("light",)}


def path_of(page: str, site: Site) -> tuple[str, int]:
    """Return where a page is, and its status."""
    world = site.world
    return {
        "fleet": ("/", 200),
        "vehicle": (f"/vehicles/{world.gappy}", 200),
        "odd": (f"/vehicles/{world.odd}", 200),
        "meterless": (f"/vehicles/{world.meterless}", 200),
        "shared": (f"/vehicles/{world.shared}?day={world.now.date() - timedelta(days=1)}", 200),
        "list": ("/vehicles", 200),
        "docs": ("/docs", 200),
        "missing": ("/vehicles/nobody", 404),
        "refused": (f"/vehicles/{world.gappy}?day=yesterday", 422),
    }[page]


@pytest.fixture(scope="module", autouse=True)
def _warmed_up(browser: object, site: Site) -> None:
    """Wait until the fleet's figures are computed, so that every test sees them."""
    with httpx.Client(base_url=site.address, timeout=60) as client:
        while "being computed" in client.get("/").text:
            pass


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("page", PAGES)
def test_everyone_can_read_every_page(visit: Visit, site: Site, page: str, look: str) -> None:
    path, status = path_of(page, site)
    width, dark = LOOKS[look]
    shown = visit.open(path, width=width, dark=dark, status=status)
    assert shown.evaluate(MEASURES) == []
    if look in KEPT.get(page, ()):
        visit.keep(shown, f"{page}-{look}")


def test_opened_tables_are_readable_too(visit: Visit, site: Site) -> None:
    page = visit.open(f"/vehicles/{site.world.gappy}")
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate(MEASURES) == []
    expect(page.locator("#hours-table tbody tr")).to_have_count(25)
    visit.keep(page, "vehicle-tables")


def test_the_fleets_page_is_complete_without_scripts(visit: Visit, site: Site) -> None:
    page = visit.open_apart("/", scripts=False)
    tiles = page.locator("#now .tile")
    expect(tiles).to_have_count(6)
    expect(tiles.first).to_contain_text("Vehicles live")
    expect(tiles.first).to_contain_text("of 60")
    expect(page.locator("#now")).to_contain_text("14")
    expect(page.locator("svg.chart.wide rect.dc").first).to_be_visible()
    expect(page.locator("table.worst tbody tr").first).to_contain_text("implausible")
    page.locator("table.worst tbody a").first.click()
    expect(page.locator("h1")).to_have_text("veh-00011")
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)


def test_figures_are_renewed_until_the_reader_pauses_them(visit: Visit, site: Site) -> None:
    page = visit.open_apart("/")
    page.clock.install()
    page.reload()
    page.locator("summary").first.click()
    page.locator("h1").click()  # an element that has the focus is not replaced
    with psycopg.connect(site.database_url, autocommit=True) as connection:
        connection.execute("UPDATE dead_letter SET reason = 'oversized'")
    letters = page.locator("#now .tile", has_text="Dead letters")
    renewals = 0
    while "oversized" not in letters.inner_text():
        renewals += 1
        renew(page, renewals)
    expect(page.locator("#hours-table")).to_have_attribute("open", "")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Renew again")).to_be_visible()
    page.clock.run_for(60_000)
    assert page.locator("html").get_attribute("data-renewed") == str(renewals)


def renew(page: Page, times: int) -> None:
    """Let the page's clock run until it was renewed so often."""
    page.clock.run_for(10_500)
    expect(page.locator("html")).to_have_attribute("data-renewed", str(times))


def test_a_vehicles_day_shows_its_gaps_meters_and_sessions(visit: Visit, site: Site) -> None:
    page = visit.open(f"/vehicles/{site.world.gappy}")
    chart = page.locator("svg.chart.wide")
    said = [one.text_content() or "" for one in chart.locator("rect.covered title").all()]
    assert sum("readings of veh-00003" in text for text in said) == 3
    assert sum("readings of mtr-00003" in text for text in said) == 2
    expect(chart.locator("rect.meter title")).to_contain_text("meter mtr-00003")
    soc = chart.locator("path.line.soc").get_attribute("d") or ""
    assert soc.count("M") == 3
    expect(page.locator("#sum")).to_contain_text("Coverage, vehicle")


def test_a_page_says_in_words_why_figures_are_uncertain(visit: Visit, site: Site) -> None:
    page = visit.open(f"/vehicles/{site.world.shared}")
    expect(page.locator("#sum")).to_contain_text("a meter is shared")
    page = visit.open(f"/vehicles/{site.world.meterless}")
    expect(page.locator(".verdict")).to_contain_text("no meter")


def test_text_from_the_database_is_only_text(visit: Visit) -> None:
    page = visit.open(f"/vehicles/{ODD_ID}")
    expect(page.locator(".model")).to_have_text(MARKUP)


def test_a_vehicle_is_found_by_its_id_or_its_beginning(visit: Visit, site: Site) -> None:
    page = visit.open("/")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    search = page.get_by_label("Vehicle", exact=True)
    search.fill(site.world.gappy)
    search.press("Enter")
    expect(page.locator("h1")).to_have_text(site.world.gappy)
    search.fill("veh-0005")
    search.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(10)
    search.fill("nobody")
    search.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("No vehicle's id begins with nobody")


def test_another_day_is_one_click_or_one_date_away(visit: Visit, site: Site) -> None:
    page = visit.open(f"/vehicles/{site.world.charged}")
    yesterday = site.world.now.date() - timedelta(days=1)
    page.get_by_role("link", name=str(yesterday)).click()
    expect(page.locator("#sum-title")).to_have_text(f"{yesterday:%A, %d %B %Y}")
    page.get_by_label("Day (UTC)").fill(str(yesterday - timedelta(days=5)))
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".verdict")).to_contain_text("no meter")
    page.get_by_role("link", name="Last 24 h").click()
    expect(page.locator("#sum-title")).to_have_text("The last 24 hours")
