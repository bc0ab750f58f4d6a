"""An API in front of a fleet's database, and a headless browser."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    sync_playwright,
)

from deploy.local.stack import Addresses
from deploy.replica import ROOT, Replica
from tests.databases import Template
from tests.needed import program
from tests.page.world import World, fill

SCREENSHOTS = ROOT / ".local" / "screenshots"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True, slots=True)
class Site:
    """The address of the pages, their database, and what was written to it."""

    address: str
    database_url: str
    world: World


@pytest.fixture(scope="package")
def site(
    servers: Addresses, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The API in front of a database with a fleet's last two days."""
    with template.copy() as url:
        with psycopg.connect(url) as connection:
            world = fill(connection, datetime.now(UTC))
        with serving(url, servers, tmp_path_factory.mktemp("site")) as api:
            yield Site(api.address, url, world)


@contextmanager
def serving(
    database_url: str, servers: Addresses, folder: Path, **environment: str
) -> Iterator[Replica]:
    """Run an API as a process of its own, and end it as a supervisor would."""
    api = Replica(
        {
            "DATABASE_URL": database_url,
            "KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
            **environment,
        },
        log_file=folder / "api.log",
        command=("-m", "api", "run"),
    )
    try:
        yield api
    finally:
        code = api.stop()
    # uvicorn raises the signal again once it has drained.
    assert code in (0, -signal.SIGTERM)


# Until it is closed, its event loop runs in this thread, and asyncio tests cannot run beside it.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; skip if there is none, and in CI fail."""
    chromium = program(*PROGRAMS, package="chromium")
    with sync_playwright() as playwright:
        # As root, in which containers often run, Chromium's own sandbox does not start.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        launched = playwright.chromium.launch(executable_path=chromium, args=arguments)
        with closing(launched):
            yield launched


class Visit:
    """Opens pages and collects errors of the console and requests to foreign addresses."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self._browser = browser
        self._site = site
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    def open(
        self,
        path: str,
        *,
        width: int = 1280,
        dark: bool = False,
        scripts: bool = True,
        status: int = 200,
    ) -> Page:
        """Return the page, once it is loaded."""
        context = self._browser.new_context(
            base_url=self._site.address,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            java_script_enabled=scripts,
        )
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._note_request)
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == status
        return page

    def keep(self, page: Page, name: str) -> None:
        """Keep a screenshot of the whole page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _note_console(self, message: ConsoleMessage) -> None:
        # Chromium complains of a page of a problem, whose status is that of the problem.
        if message.type in ("error", "warning") and "the server responded with" not in message.text:
            self.complaints.append(message.text)

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith(self._site.address):
            self.complaints.append(f"asked {request.url}")


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Visit]:
    """Open pages; fail at the end if there was any complaint."""
    visit = Visit(browser, site)
    yield visit
    visit.close()
    assert visit.complaints == []
