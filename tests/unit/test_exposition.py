"""The metrics of a process: rendered once for requests at the same time, and never stale."""

import asyncio
import threading
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime.http.exposition import Exposition


class _Rendered(Collector):
    """Counts how often it is asked, which shows in the text, and on which threads."""

    def __init__(self) -> None:
        self.times = 0
        self.threads: set[threading.Thread] = set()
        self.is_asked = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def describe(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("times", "")

    def collect(self) -> Iterator[Metric]:
        self.is_asked.set()
        self.goes_on.wait(10)
        self.times += 1
        self.threads.add(threading.current_thread())
        yield GaugeMetricFamily("times", "", value=self.times)


def made() -> tuple[Exposition, _Rendered]:
    registry, rendered = CollectorRegistry(), _Rendered()
    registry.register(rendered)
    return Exposition(registry), rendered


async def test_requests_at_the_same_time_share_one_rendering_on_a_thread() -> None:
    exposition, rendered = made()
    texts = await asyncio.gather(*(exposition.text() for _ in range(500)))
    assert set(texts) == {b"# HELP times \n# TYPE times gauge\ntimes 1.0\n"}
    assert rendered.times == 1
    assert threading.main_thread() not in rendered.threads


async def test_an_answer_shows_what_was_counted_after_it_was_asked_for() -> None:
    exposition, rendered = made()
    for number in range(1, 4):
        assert f"times {number}.0".encode() in await exposition.text()
    # Those who ask while it is rendered are shown what is rendered next.
    rendered.is_asked.clear()
    rendered.goes_on.clear()
    early = asyncio.create_task(exposition.text())
    while not rendered.is_asked.is_set():
        await asyncio.sleep(0.001)
    late = [asyncio.create_task(exposition.text()) for _ in range(100)]
    await asyncio.sleep(0)
    rendered.goes_on.set()
    assert b"times 4.0" in await early
    assert {b"times 5.0" in text for text in await asyncio.gather(*late)} == {True}
    assert rendered.times == 5


async def test_a_request_that_is_cancelled_does_not_cancel_the_others() -> None:
    exposition, _ = made()
    first, second = (asyncio.create_task(exposition.text()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert b"times 1.0" in await second
