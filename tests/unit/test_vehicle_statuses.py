"""The statuses of vehicles: each is counted, explained on the pages, and known to the simulator."""

from api.models.energy import STATUSES, Counts
from api.page.words import MEANINGS
from producer_sim.oracle import answers


def test_the_fleets_answer_counts_the_vehicles_of_each_status() -> None:
    assert tuple(Counts.model_fields) == ("total", *STATUSES)


def test_the_pages_say_what_each_status_means() -> None:
    assert tuple(MEANINGS) == STATUSES


def test_the_simulator_expects_the_same_statuses() -> None:
    assert answers.STATUSES == STATUSES
