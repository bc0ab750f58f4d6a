"""An API in front of a fleet's database, and a headless browser."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
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
        # A process for a GPU that is not there would draw in software as well.
        arguments = ["--disable-gpu"]
        if os.geteuid() == 0:
            # As root, in which containers often run, Chromium's own sandbox does not start.
            arguments.append("--no-sandbox")
        launched = playwright.chromium.launch(executable_path=chromium, args=arguments)
        with closing(launched):
            yield launched


@pytest.fixture(scope="module")
def tab(browser: Browser, site: Site) -> Iterator[Page]:
    """A tab that most tests use one after the other: each new one would start processes.

    The pages keep nothing in the browser but their files, at addresses that never change.
    """
    with closing(new_tab(browser, site)) as page:
        yield page


def new_tab(browser: Browser, site: Site, *, scripts: bool = True) -> Page:
    """Return a tab that shares nothing with others."""
    return browser.new_page(
        base_url=site.address, reduced_motion="reduce", java_script_enabled=scripts
    )


class Visit:
    """Opens pages and collects errors of the console and requests to foreign addresses."""

    def __init__(self, browser: Browser, site: Site, tab: Page) -> None:
        self._browser = browser
        self._site = site
        self._tab = tab
        self._cleanup = ExitStack()
        self.complaints: list[str] = []
        self._watch(tab)

    def open(self, path: str, *, width: int = 1280, dark: bool = False, status: int = 200) -> Page:
        """Return the tab that tests share, once it has loaded the page."""
        return self._open(self._tab, path, width=width, dark=dark, status=status)

    def open_apart(self, path: str, *, scripts: bool = True) -> Page:
        """Return a new tab, of which more is changed than the page, once it has loaded that."""
        tab = self._cleanup.enter_context(
            closing(new_tab(self._browser, self._site, scripts=scripts))
        )
        self._watch(tab)
        return self._open(tab, path)

    def keep(self, page: Page, name: str) -> None:
        """Keep a screenshot of the whole page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def close(self) -> None:
        self._cleanup.close()

    def _open(
        self, tab: Page, path: str, *, width: int = 1280, dark: bool = False, status: int = 200
    ) -> Page:
        tab.set_viewport_size({"width": width, "height": 900})
        tab.emulate_media(color_scheme="dark" if dark else "light")
        answer = tab.goto(path)
        assert answer is not None
        assert answer.status == status
        return tab

    def _watch(self, tab: Page) -> None:
        tab.on("console", self._note_console)
        self._cleanup.callback(tab.remove_listener, "console", self._note_console)
        tab.on("pageerror", self._note_error)
        self._cleanup.callback(tab.remove_listener, "pageerror", self._note_error)
        tab.on("request", self._note_request)
        self._cleanup.callback(tab.remove_listener, "request", self._note_request)

    def _note_console(self, message: ConsoleMessage) -> None:
        # Chromium complains of a page of a problem, whose status is that of the problem.
        if message.type in ("error", "warning") and "the server responded with" not in message.text:
            self.complaints.append(message.text)

    def _note_error(self, error: Error) -> None:
        self.complaints.append(str(error))

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith(self._site.address):
            self.complaints.append(f"asked {request.url}")


@pytest.fixture
def visit(browser: Browser, site: Site, tab: Page) -> Iterator[Visit]:
    """Open pages; fail at the end if there was any complaint."""
    visit = Visit(browser, site, tab)
    yield visit
    visit.close()
    assert visit.complaints == []
