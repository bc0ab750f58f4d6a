"""A message counts as seen at the first look at which its offset had been passed."""

import numpy as np

from benchmarks.latency import Looks, Sent, latencies


def test_latency_ends_with_the_first_look_that_was_past_the_offset() -> None:
    looks = {
        ("meter", 0): Looks(at=[1_000.0, 1_500.0], next_offsets=[2, 4]),
        ("vehicle", 3): Looks(at=[1_250.5], next_offsets=[101]),
    }
    sent = {
        ("vehicle", 3): Sent(np.array([100]), np.array([1_200])),
        ("meter", 0): Sent(np.array([0, 1, 2, 3]), np.array([900, 950, 1_100, 1_400])),
    }
    assert latencies(looks, sent).tolist() == [50.5, 100, 50, 400, 100]
