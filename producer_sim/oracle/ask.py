"""Ask an API about every vehicle, the fleet and the anomalies, and compare its answers."""

import asyncio
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from producer_sim.oracle.answers import (
    Findings,
    compare_anomalies,
    compare_fleet,
    compare_hours,
    compare_meter,
    compare_sessions,
    compare_vehicle,
)
from producer_sim.oracle.expected import Expectation, Expected, Oracle, windows
from producer_sim.oracle.quirky_expected import QuirkyExpectation, Witnessed
from producer_sim.oracle.spans import Span
from producer_sim.oracle.truth import Truth
from producer_sim.oracle.verdict import Check, Unasked
from producer_sim.parallel import all_of
from producer_sim.product import PATIENCE_S, Product, ProductError, TooSlowError
from telemetry.timestamps import format_timestamp, parse_timestamp


def ask(
    url: str,
    api_key: str | None,
    truths: Sequence[Truth],
    *,
    exact: bool,
    console: Console | None,
    patience_s: float = PATIENCE_S,
) -> tuple[tuple[Check, ...], dict[str, int], Unasked | None]:
    """Ask an API about all windows of these runs, and compare the answers with the truth.

    Return the checks, the totals, and why the API could not be asked further, if so; the answers
    until then are compared. `exact`: the product must not know other vehicles.
    """
    findings = Findings()

    async def ask_all() -> None:
        async with Product(url=url, api_key=api_key, patience_s=patience_s) as product:
            for truth in truths:
                await _Run(product, truth, findings, console).ask(exact=exact)

    unasked = None
    try:
        asyncio.run(ask_all())
    except ProductError as error:
        unasked = Unasked(str(error), isinstance(error, TooSlowError))
    return findings.checks(complete=unasked is None), dict(findings.totals), unasked


class _Run:
    """The questions about one run."""

    def __init__(
        self, product: Product, truth: Truth, findings: Findings, console: Console | None
    ) -> None:
        self._product = product
        self._truth = truth
        self._findings = findings
        self._console = console
        quirky = None if truth.quirks is None else QuirkyExpectation(truth.quirks)
        self._oracles: list[Oracle] = [Expectation(truth), *([] if quirky is None else [quirky])]
        self._pairs = [] if quirky is None else quirky.pairs

    async def ask(self, *, exact: bool) -> None:
        """Ask about all windows."""
        for number, window in enumerate(windows(self._truth), start=1):
            expected = await self._ask_vehicles(window, what=f"asking about window {number}")
            await all_of(
                (self._ask_meter(pair, window) for pair in self._pairs),
                total=len(self._pairs),
                what=f"asking about meters in window {number}",
                console=self._console,
            )
            await self._ask_fleet(window, expected, exact=exact)
        whole = self._truth.start_us, self._truth.end_us
        await all_of(
            (self._ask_sessions(pair, whole) for pair in self._pairs),
            total=len(self._pairs),
            what="asking about sessions",
            console=self._console,
        )

    async def _ask_vehicles(self, window: Span, *, what: str) -> list[Expected]:
        """Ask about every vehicle; return what other answers must agree with."""
        asked = [
            (oracle, index, one)
            for oracle in self._oracles
            for index, one in enumerate(oracle.of(window))
        ]
        allowed = [one for _, _, one in asked]

        async def ask_one(place: int, oracle: Oracle, index: int, expected: Expected) -> None:
            answer = await self._get(f"performance/{expected.vehicle_id}", window)
            one = compare_vehicle(answer, expected, window, self._findings)
            true = oracle.hours(index, window)
            compare_hours(answer["hourly"], true, one, window, self._findings)
            allowed[place] = one

        work = (ask_one(place, *one) for place, one in enumerate(asked))
        await all_of(work, total=len(asked), what=what, console=self._console)
        return allowed

    async def _ask_fleet(self, window: Span, expected: list[Expected], *, exact: bool) -> None:
        """Ask about the fleet and the anomalies, whose window may be wider, up to full hours."""
        fleet = await self._get("fleet/performance", window)
        told = _window_of(fleet)
        if told != window:
            expected = [
                await self._as_answered(one, told)
                for all_ in self._oracles
                for one in all_.of(told)
            ]
        compare_fleet(fleet, expected, window, self._findings, exact=exact)
        start, end = map(format_timestamp, window)
        path = "/v1/analytics/anomalies"
        anomalies = await self._product.pages(path, start=start, end=end, limit="1000")
        compare_anomalies(anomalies, expected, window, self._findings, exact=exact)

    async def _as_answered(self, expected: Expected, window: Span) -> Expected:
        """Return what is expected of a vehicle; what is not determined is asked for."""
        if not expected.excuses:
            return expected
        answer = await self._get(f"performance/{expected.vehicle_id}", window)
        return compare_vehicle(answer, expected, window, self._findings)

    async def _ask_meter(self, pair: Witnessed, window: Span) -> None:
        answer = await self._get(f"meters/{pair.pair.meter_id}/performance", window)
        compare_meter(answer, pair.expected(window), window, self._findings)

    async def _ask_sessions(self, pair: Witnessed, window: Span) -> None:
        vehicle = pair.pair.vehicle_id
        items = await self._product.pages("/v1/sessions", vehicleId=vehicle)
        charges = {charge: pair.energies(*charge) for charge in pair.sessions}
        compare_sessions(items, charges, vehicle, window, self._findings)

    async def _get(self, path: str, window: Span) -> Any:
        start, end = map(format_timestamp, window)
        return await self._product.get(f"/v1/analytics/{path}", start=start, end=end)


def _window_of(answer: dict[str, Any]) -> Span:
    """Return the window that an answer is about; what is yet to come is not asked about."""
    start, end, as_of = (
        parse_timestamp(answer["window"][name]) for name in ("start", "end", "asOf")
    )
    return start, min(end, as_of)
