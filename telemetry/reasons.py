"""Why a message becomes a dead letter: stable codes, in the order in which they are checked."""

from enum import StrEnum


class Reason(StrEnum):
    """A stable reason code. If several apply, the first in this order is given."""

    EMPTY_VALUE = "empty_value"
    OVERSIZED = "oversized"
    MALFORMED_JSON = "malformed_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    INVALID_DEVICE_ID = "invalid_device_id"
    OUT_OF_RANGE = "out_of_range"
    INVALID_TIMESTAMP = "invalid_timestamp"
    FUTURE_TIMESTAMP = "future_timestamp"
    TOO_OLD = "too_old"
    UNREGISTERED_DEVICE = "unregistered_device"
    CONFLICTING_DUPLICATE = "conflicting_duplicate"
    REJECTED_BY_DATABASE = "rejected_by_database"


PRECEDENCE = {reason: rank for rank, reason in enumerate(Reason)}
