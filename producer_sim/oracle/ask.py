"""Ask an API about every vehicle, the fleet and the anomalies, and compare its answers."""

import asyncio
from collections.abc import Sequence

from rich.console import Console

from producer_sim.oracle.answers import (
    Findings,
    compare_anomalies,
    compare_fleet,
    compare_hours,
    compare_vehicle,
)
from producer_sim.oracle.expected import Expectation, Expected, Span, windows
from producer_sim.oracle.truth import Truth
from producer_sim.oracle.verdict import Check, Unasked
from producer_sim.parallel import all_of
from producer_sim.product import PATIENCE_S, Product, ProductError, TooSlowError
from telemetry.timestamps import format_timestamp


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
                await _ask_run(product, truth, findings, exact=exact, console=console)

    unasked = None
    try:
        asyncio.run(ask_all())
    except ProductError as error:
        unasked = Unasked(str(error), isinstance(error, TooSlowError))
    return findings.checks(complete=unasked is None), dict(findings.totals), unasked


async def _ask_run(
    product: Product, truth: Truth, findings: Findings, *, exact: bool, console: Console | None
) -> None:
    expectation = Expectation(truth)
    for number, window in enumerate(windows(truth), start=1):
        expected = list(expectation.of(window))
        await all_of(
            (
                _ask_vehicle(
                    product,
                    truth=truth,
                    index=index,
                    expected=one,
                    window=window,
                    findings=findings,
                )
                for index, one in enumerate(expected)
            ),
            total=len(expected),
            what=f"asking about window {number}",
            console=console,
        )
        start, end = map(format_timestamp, window)
        fleet = await product.get("/v1/analytics/fleet/performance", start=start, end=end)
        compare_fleet(fleet, expected, window, findings, exact=exact)
        path = "/v1/analytics/anomalies"
        anomalies = await product.pages(path, start=start, end=end, limit="1000")
        compare_anomalies(anomalies, expected, window, findings, exact=exact)


async def _ask_vehicle(
    product: Product,
    *,
    truth: Truth,
    index: int,
    expected: Expected,
    window: Span,
    findings: Findings,
) -> None:
    start, end = map(format_timestamp, window)
    path = f"/v1/analytics/performance/{expected.vehicle_id}"
    answer = await product.get(path, start=start, end=end)
    compare_vehicle(answer, expected, window, findings)
    compare_hours(answer["hourly"], truth, index, window, findings)
