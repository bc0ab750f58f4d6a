"""Keys of PostgreSQL's advisory locks, all in one table: no two kinds of work may share one.

Keys of one number and keys of a pair of numbers are different locks. What is held for a transaction
ends with it; only DAYS_REMOVED belongs to a session.
"""

_OURS = 0x7761_7474 << 16  # "watt"

DAYS_MADE = _OURS | 1
"""A day of a history is made, or dropped."""

DAYS_REMOVED = _OURS | 2
"""Days past the retention are removed: one look at a time."""

SCHEMA = _OURS | 3
"""The schema is applied or checked."""

ROLLED_UP = _OURS | 5
"""Hours are rolled up, or devices removed."""

ENTRIES = 0x7761_7404
"""An assignment or a session is entered. First of a pair; the second is a hash of the device."""
