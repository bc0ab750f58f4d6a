"""What PostgreSQL refuses: reported once when it begins and once when it ends, by kind of work.

A refusal is not an outage: the server is well, and all other work goes on.
`consumer/postgres/failures.py` says which errors are refusals.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

import psycopg
import structlog
from psycopg import errors

from consumer.metrics import Metrics
from consumer.postgres.failures import is_refused_connection, sqlstate_of
from runtime.postgres.schema_version import UnfitSchema

log = structlog.get_logger()

HELP = 'docs/runbook.md, "PostgreSQL refuses a statement"; it is tried again by itself'
# Stands for a SQLSTATE that PostgreSQL does not have: a trigger may raise any five characters.
_UNKNOWN = "other"


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of work that PostgreSQL is asked for; name and topic are labels of few values."""

    name: str
    topic: str = ""
    stores: bool = False
    """Whether messages wait to be stored while it is refused."""


CHECK = Work("check", stores=True)
OFFSETS = Work("offsets", stores=True)
RETENTION = Work("retention")
LETTERS = Work("letters")
ROLLUP = Work("rollup")
COMPLETION = Work("completion")
DEVICES = Work("devices")
BACKLOG = Work("backlog")


class _Refusal(NamedTuple):
    """The labels of the metric, by which refusals are told apart."""

    work: str
    topic: str
    sqlstate: str


class Refusals:
    """The work that waits because of refusals; `role` is the refused role, for the log.

    Each method takes `waiting`, any object that stands for one task that waits.
    """

    def __init__(self, metrics: Metrics, *, role: str | None) -> None:
        self._metrics = metrics
        self._role = role
        self._waiting: dict[Hashable, tuple[Work, _Refusal]] = {}

    @property
    def keep_from_storing(self) -> bool:
        """Return whether some messages are not stored because of a refusal."""
        return any(work.stores for work, _ in self._waiting.values())

    def note(
        self, waiting: Hashable, work: Work, error: BaseException, *, partition: int | None = None
    ) -> None:
        """Note that a task waits, and log it if the refusal is new."""
        refusal = _refusal(work, error)
        is_news = refusal not in self._refused
        self.forget(waiting)
        self._waiting[waiting] = work, refusal
        self._show(refusal)
        if not is_news:
            return
        fields = {
            "topic": refusal.topic or None,
            "partition": partition,
            "role": self._role,
            "doing": "; ".join(getattr(error, "__notes__", ())) or None,
        }
        log.error(
            "database_refuses",
            work=refusal.work,
            sqlstate=sqlstate_of(error),
            error=_first_line(error),
            **{name: field for name, field in fields.items() if field is not None},
            help=HELP,
        )

    def end(self, waiting: Hashable) -> None:
        """Note that what was refused is done, and log it if no other task waits for the same."""
        refusal = self.forget(waiting)
        if refusal is not None and refusal not in self._refused:
            topic = {"topic": refusal.topic} if refusal.topic else {}
            log.info("database_accepts", work=refusal.work, sqlstate=refusal.sqlstate, **topic)

    def forget(self, waiting: Hashable) -> _Refusal | None:
        """Note that a task no longer waits, done or not; return what it waited for."""
        _, refusal = self._waiting.pop(waiting, (None, None))
        if refusal is not None:
            self._show(refusal)
        return refusal

    @property
    def _refused(self) -> list[_Refusal]:
        return [refusal for _, refusal in self._waiting.values()]

    def _show(self, refusal: _Refusal) -> None:
        count = self._refused.count(refusal)
        if count:
            self._metrics.database_refused.labels(*refusal).set(count)
        else:
            self._metrics.database_refused.remove(*refusal)


def _refusal(work: Work, error: BaseException) -> _Refusal:
    sqlstate = sqlstate_of(error) or _UNKNOWN
    if sqlstate != UnfitSchema.sqlstate:
        try:
            errors.lookup(sqlstate)
        except KeyError:
            sqlstate = _UNKNOWN
    if is_refused_connection(error):  # whatever the work was
        return _Refusal("connect", "", sqlstate)
    return _Refusal(work.name, work.topic, sqlstate)


def _first_line(error: BaseException) -> str:
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return (primary or str(error)).partition("\n")[0]
