"""Charts, words, the pace and the cache, without servers."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.figures.ends import Span
from api.figures.energies import Energy, HourEnergy
from api.figures.intake import count_waiting
from api.figures.pace import Look, Pace
from api.figures.remembered import Remembered
from api.figures.window import DayWindow, from_first_reading
from api.openapi import example_of
from api.page import words
from api.page.chart.day import Day, day_chart
from api.page.chart.fleet import fleet_chart
from api.page.chart.scale import Scale, TimeScale, lines, ticks
from api.page.chart.strip import Band, strip
from api.page.chart.svg import area, path, tag
from api.problems import Problem

START = datetime(2026, 2, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
# Whole nanokilowatt-hours, as PostgreSQL adds them up.
_energy = st.integers(0, 10**16).map(lambda nano_kwh: nano_kwh / 1e9)


@given(low=st.floats(-1e6, 1e6), span=st.floats(0, 1e7), most=st.integers(2, 10))
def test_ticks_are_few_even_and_enclose_the_values(low: float, span: float, most: int) -> None:
    high = low + span
    marks = ticks(low, high, most)
    slack = 1e-6 * max(abs(low), abs(high), 1)
    assert marks[0] <= low + slack
    assert marks[-1] >= high - slack
    assert 2 <= len(marks) <= most + 3
    steps = [b - a for a, b in itertools.pairwise(marks)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-3)


def test_a_value_beyond_the_scale_is_drawn_at_its_end() -> None:
    scale = Scale(0, 100, 200, 0)
    assert [scale(value) for value in (0, 50, 100, 150, -5)] == [200, 100, 0, 0, 200]


def test_times_are_marked_from_midnight_on() -> None:
    scale = TimeScale(START + timedelta(hours=5, minutes=10), START + timedelta(hours=13), 0, 100)
    assert [at.hour for at in scale.ticks(timedelta(hours=4))] == [8, 12]


def test_a_line_breaks_at_a_gap() -> None:
    points = [(START + timedelta(minutes=minute), 1.0) for minute in (0, 5, 10, 30, 60, 65)]
    assert [len(line) for line in lines(points, timedelta(minutes=10))] == [3, 1, 2]


def test_paths_have_no_more_digits_than_can_be_seen() -> None:
    assert path([[(1, 2), (3.14159, 4)], [(5, 6)]]) == "M1 2L3.1 4M5 6h0"
    assert area([[(1, 2), (3, 4)]], 10) == "M1 10L1 2L3 4L3 10Z"
    assert path([]) == area([], 1) == ""


def test_text_and_attributes_are_escaped() -> None:
    drawn = tag("text", "<b>&", class_='"x"', stroke_width=2)
    assert drawn == '<text class="&#34;x&#34;" stroke-width="2">&lt;b&gt;&amp;</text>'


@given(energies=st.lists(st.tuples(_energy, _energy), max_size=25))
def test_a_fleets_chart_is_well_formed_whatever_it_shows(
    energies: list[tuple[float, float]],
) -> None:
    hours = [
        HourEnergy(START + place * HOUR, START + (place + 1) * HOUR, Energy(ac, dc), Energy(ac, dc))
        for place, (ac, dc) in enumerate(energies)
    ]
    window = (START, START + 25 * HOUR)
    drawn = fleet_chart(window, hours)
    well_formed = ET.fromstring(f"<div>{drawn}</div>")  # noqa: S314  ours
    bars = [one for one in well_formed.iter("rect") if one.get("class") == "dc"]
    # For two widths, and one in each key.
    assert len(bars) == 2 * (1 + sum(dc > 0 for _, dc in energies))
    assert "nan" not in drawn
    assert "inf" not in drawn


def test_energy_that_is_not_in_the_ratio_is_pale() -> None:
    hour = HourEnergy(START, START + HOUR, energy=Energy(10.0, 12.0), judged=Energy(10.0, 9.0))
    drawn = ET.fromstring(f"<div>{fleet_chart((START, START + HOUR), [hour])}</div>")  # noqa: S314  ours
    heights = {
        one.get("class"): float(one.get("height") or 0)
        for one in drawn.iter("rect")
        if one.get("rx")
    }
    assert heights.keys() == {"ac", "dc", "dc rest"}
    assert heights["dc rest"] > heights["ac"] > heights["dc"]
    assert "ratio 90.0 % of 10.0 kWh AC" in ET.tostring(drawn, "unicode")


def test_a_days_chart_is_well_formed_without_anything_to_show() -> None:
    day = Day(
        vehicle_id="<veh>",
        window=(START, START + 24 * HOUR),
        hours=[],
        soc=[],
        temperature=[],
        longest_gap=HOUR,
        sessions=[],
        meters=[Band(START, START + HOUR, "<m>", "meter <m>")],
        covered=[("<veh>", [])],
    )
    drawn = ET.fromstring(f"<div>{day_chart(day)}</div>")  # noqa: S314  ours
    assert [one.text for one in drawn.iter("text")].count("none") == 4


def test_bands_below_a_pixel_are_drawn_as_one() -> None:
    scale = TimeScale(START, START + 24 * HOUR, 0, 900)  # 96 s a pixel
    second = timedelta(seconds=1)

    def drawn(bands: list[Band]) -> list[str]:
        root = ET.fromstring(f"<g>{strip(scale, bands, top=0, height=9, kind='x')}</g>")  # noqa: S314  ours
        return [one.text or "" for one in root.iter("title")]

    many = [
        Band(START + 2 * number * second, START + (2 * number + 1) * second, "", f"meter {number}")
        for number in range(40_000)
    ]
    assert [title.split(",")[0] for title in drawn(many)] == ["meter 0 and 39999 more"]
    same = [Band(one.start, one.end, "", "readings") for one in many]
    assert drawn(same)[0].startswith("readings, ")
    # However they lie, at most one a pixel is drawn.
    apart = [Band(one.start, one.start + second, "", "x") for one in many[::50]]
    assert len(drawn(apart)) <= 900
    # Bands of a pixel or more are drawn apart.
    day = [Band(START, START + HOUR, "", "a"), Band(START + HOUR, START + 2 * HOUR, "", "b")]
    assert len(drawn([*day, Band(START + 4 * HOUR, START + 4 * HOUR + second, "", "c")])) == 3
    assert len(drawn([day[0], Band(START + HOUR / 2, START + HOUR, "", "c")])) == 2


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, words.DASH),
        (0.0, "0.0 kWh"),
        (0.0314, "0.031 kWh"),
        (12.34, "12.3 kWh"),
        (1_234.56, "1,234.6 kWh"),
        (1_234_567.8, "1,234,568 kWh"),
        (-4.2, "\N{MINUS SIGN}4.2 kWh"),
    ],
)
def test_energies_have_their_unit(value: float | None, said: str) -> None:
    assert words.kwh(value) == said


def test_coverage_is_never_rounded_up_to_the_whole() -> None:
    assert words.cut_percent(0.99999) == "99.9 %"
    assert words.cut_percent(1.0) == "100.0 %"
    assert words.cut_percent(0.583) == "58.3 %"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "0.0 s"),
        (1.4, "1.4 s"),
        (100, "100 s"),
        (420, "7 min"),
        (7_200, "2 h"),
        (1e6, "12 days"),
    ],
)
def test_spans_are_of_one_unit(seconds: float, said: str) -> None:
    assert words.span(seconds) == said


def test_code_between_backquotes_is_marked_and_escaped_too() -> None:
    assert words.marked("<b> `<i>`") == "&lt;b&gt; <code>&lt;i&gt;</code>"


def test_a_span_that_ends_at_midnight_ends_at_24_00() -> None:
    assert words.hours(START, START + HOUR) == f"00:00{words.DASH}01:00 UTC"
    assert words.hours(START + 23 * HOUR, START + 24 * HOUR) == f"23:00{words.DASH}24:00 UTC"
    long = words.hours(START, START + 30 * HOUR)
    assert long == f"2026-02-10 00:00 {words.DASH} 2026-02-11 06:00 UTC"


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (None, words.DASH),
        (0.9183, "91.8 %"),
        (0.85, "85.0 %"),
        (0.84996, "84.996 %"),
        (0.7499, "74.99 %"),
        (1.0, "100.0 %"),
        (1.0004, "100.04 %"),
        (0.99999, "100.0 %"),
        (12.5, "1,250.0 %"),
    ],
)
def test_a_ratio_lies_on_its_side_of_every_band(share: float | None, said: str) -> None:
    assert words.ratio(share) == said


def test_a_clock_that_is_ahead_is_not_a_lag() -> None:
    assert words.delay(-290.0) == "clocks are ahead: stored 5 min before its own time (median)"
    assert words.delay(1.4) == "lag: stored 1.4 s after it was taken (median)"


def test_a_missing_measure_is_a_dash() -> None:
    assert words.charge(None) == words.degrees(None) == words.DASH
    assert (words.charge(57.31), words.degrees(-4.0)) == ("57.3 %", "\N{MINUS SIGN}4.0 °C")


def test_vehicles_that_cannot_be_judged_are_counted_by_what_they_lack() -> None:
    said = words.unjudged({"silent": 1_200, "meter_silent": 0, "little": 3})
    assert said == "1,200 have readings for less than half of these hours; 3 drew less than 0.1 kWh"


def test_the_rate_is_that_of_the_last_minute() -> None:
    pace = Pace()
    assert pace.rate() is None
    for index in range(13):
        pace.add(
            Look(
                START + timedelta(seconds=10 * index),
                {("m", 0): 300 * index, ("v", 0): 200 * index},
            )
        )
    assert pace.rate() == (50.0, 60.0)
    earlier = Look(START + timedelta(seconds=115), {("m", 0): 3_500, ("v", 0): 2_350})
    pace.add(earlier)
    assert pace.rate() == (50.0, 60.0), "a look that arrives late is left out"
    pace.add(Look(START + timedelta(seconds=130), {("m", 0): 3, ("v", 0): 2_400}))
    assert pace.rate() is None, "offsets that were set back say nothing"


def test_a_new_partition_does_not_count_towards_the_rate() -> None:
    pace = Pace()
    pace.add(Look(START, {("m", 0): 0}))
    pace.add(Look(START + timedelta(seconds=1), {("m", 0): 10}))
    assert pace.rate() is None, "over a second a rate is chance"
    pace.add(Look(START + timedelta(seconds=10), {("m", 0): 20, ("m", 1): 5_000_000}))
    assert pace.rate() is None
    pace.add(Look(START + timedelta(seconds=20), {("m", 0): 30, ("m", 1): 5_000_010}))
    assert pace.rate() == (2.0, 10.0)


def test_messages_wait_from_the_groups_offset_or_the_partitions_beginning() -> None:
    spans = {
        ("m", 0): Span(0, 100),
        ("m", 1): Span(40, 100),
        ("m", 2): Span(40, 100),
        ("m", 3): Span(0, 100),
    }
    # 10 of the first; 60 of one never read; 60 of one whose offset is gone; 0 before an older end.
    assert count_waiting({("m", 0): 90, ("m", 2): 7, ("m", 3): 101}, spans) == 130


def test_a_young_fleets_window_begins_with_the_hour_of_its_first_reading() -> None:
    window = DayWindow(START, START + 24 * HOUR, is_young=False)
    assert from_first_reading(window, {"is_older": True, "first_at": None}) == window
    assert from_first_reading(window, {"is_older": False, "first_at": None}) == window
    first = START + 10 * HOUR
    on_the_hour = from_first_reading(window, {"is_older": False, "first_at": first})
    assert on_the_hour.start == first - HOUR, "it belongs to the hour that it ends"
    after = from_first_reading(
        window, {"is_older": False, "first_at": first + timedelta(seconds=1)}
    )
    assert after == DayWindow(first, window.end, is_young=True)
    assert len(after.hours) == 14


async def test_many_requests_at_once_cause_one_computation() -> None:
    asked = 0
    go = asyncio.Event()

    async def compute() -> int:
        nonlocal asked
        asked += 1
        await go.wait()
        return asked

    remembered = Remembered(compute, keep_s=60)
    assert (await remembered.get(wait_s=0)).value is None
    waiting = [asyncio.create_task(remembered.get(wait_s=30)) for _ in range(5)]
    go.set()
    assert [known.value for known in await asyncio.gather(*waiting)] == [1] * 5
    assert (await remembered.get(wait_s=30)).value == 1


async def test_a_known_value_is_kept_while_a_newer_one_fails() -> None:
    answers: list[int | Problem] = [1, Problem(503, "away")]

    async def compute() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Problem):
            raise answer
        return answer

    remembered = Remembered(compute, keep_s=0)
    assert await remembered.get(wait_s=30) == (1, None)
    # A value that took long, on a busy machine, is kept for a multiple of that.
    while (known := await remembered.get(wait_s=30)).fault is None:
        await asyncio.sleep(0.001)
    assert known.value == 1
    assert known.fault.status == 503


def test_examples_are_found_however_deep_a_schema_is() -> None:
    document = {"components": {"schemas": {"Loop": {"type": "object", "properties": {}}}}}
    loop = document["components"]["schemas"]["Loop"]
    loop["properties"] = {
        "next": {"anyOf": [{"$ref": "#/components/schemas/Loop"}, {"type": "null"}]},
        "kwh": {"type": "number", "examples": [0.9]},
    }
    shown = example_of({"$ref": "#/components/schemas/Loop"}, document["components"]["schemas"])
    assert isinstance(shown, dict)
    assert shown["kwh"] == 0.9
