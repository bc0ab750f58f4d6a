"""What is read from PostgreSQL is answered as the same readings are in memory."""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.energy.generated import windows, worlds
from tests.energy.pure import ask
from tests.energy.slow_world import World
from tests.energy.stored_world import ask_stored, make_days, storable
from tests.energy.table import ROWS, Row


@pytest.fixture(autouse=True)
def days(database_url: str) -> None:
    make_days(database_url)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_stored_input_of_the_page_is_answered_the_same(row: Row, database_url: str) -> None:
    stored = ask_stored(database_url, row.world, row.start, row.end)
    assert stored == ask(row.world, row.start, row.end)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(worlds(), windows())
def test_a_stored_world_is_answered_the_same(
    database_url: str, world: World, window: tuple[int, int]
) -> None:
    world = storable(world)
    assert ask_stored(database_url, world, *window) == ask(world, *window)
