"""Why an answer may be less than the truth, or not be sure."""

from enum import StrEnum

import numpy as np

from energy.history import History
from energy.spans import Spans
from energy.worth import Doubt


class Reason(StrEnum):
    """In the order in which an answer lists them."""

    SHARED_METER = "shared_meter"
    IMPLAUSIBLE_JUMP = "implausible_jump"
    IMPLAUSIBLE_READING = "implausible_reading"
    OVERLAPPING_READINGS = "overlapping_readings"
    REGISTER_FELL = "register_fell"
    UNSETTLED = "unsettled"
    HISTORY_REMOVED = "history_removed"


_OF_DOUBT = {
    Doubt.IMPLAUSIBLE_JUMP: Reason.IMPLAUSIBLE_JUMP,
    Doubt.IMPLAUSIBLE_READING: Reason.IMPLAUSIBLE_READING,
    Doubt.REGISTER_FELL: Reason.REGISTER_FELL,
    Doubt.UNSETTLED: Reason.UNSETTLED,
}


def reasons(history: History, spans: Spans) -> set[Reason]:
    """Return what is doubtful about the readings whose times lie in these, if only in part."""
    worth = history.worth
    is_read = spans.covers(worth.at - 1, worth.at)
    is_concerned = is_read | (spans.length_until(worth.at) > spans.length_until(worth.since))
    doubts = Doubt(int(np.bitwise_or.reduce(worth.doubts[is_concerned], initial=0)))
    found = {reason for doubt, reason in _OF_DOUBT.items() if doubt & doubts}
    overlapping = np.count_nonzero(worth.doubts[is_read] & Doubt.OVERLAPPING)
    if 100 * overlapping > np.count_nonzero(is_read):
        found.add(Reason.OVERLAPPING_READINGS)
    return found
