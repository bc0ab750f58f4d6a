"""The four roles of a database, and what each may do: written here, granted by `schema roles`.

They are groups that nobody logs in as; logins are made by the operator, as members. The owner has
the tables, functions and days. docs/roles.md says the same to people, and says why.

A right that is missing is granted, and one too many is taken back: from these roles, and from
PUBLIC on our own tables and functions. What other roles may do is the operator's.
"""

import re
from collections.abc import Iterator
from functools import cache, partial
from itertools import groupby
from typing import NamedTuple

from psycopg.errors import InsufficientPrivilege

from consumer.errors import UnfitDatabase
from consumer.postgres.connection import Connection
from consumer.postgres.migrations import objects_text
from consumer.postgres.schema import require_newest
from consumer.postgres.schema_turn import Tell, alone, giving_way
from consumer.postgres.statements import statement

OWNER, CONSUMER, API, READER = ROLES = (
    "wattline_owner",
    "wattline_consumer",
    "wattline_api",
    "wattline_reader",
)
PUBLIC = "PUBLIC"

_READ = "SELECT"
_ENTER = "SELECT, INSERT"
_KEEP = "SELECT, INSERT, UPDATE"
_ALL = "SELECT, INSERT, UPDATE, DELETE"
_NOTHING = ""

# What consumer, API and reader may do with each table and view. Columns follow in brackets.
TABLES = {
    "meter_history": (_ENTER, _READ, _READ),
    "vehicle_history": (_ENTER, _READ, _READ),
    "history_removed": (_READ, _READ, _READ),
    "meter_current_state": (_KEEP, _READ, _READ),
    "vehicle_current_state": (_KEEP, _READ, _READ),
    "ingest_offset": (_KEEP, _READ, _READ),
    "dead_letter": (_ALL, "SELECT (consumer_group, reason, dead_lettered_at)", _READ),
    "dead_letter_hour": (_ALL, _NOTHING, _READ),
    "schema_version": (_READ, _READ, _READ),
    "meter": (_READ, _ALL, _READ),
    "vehicle": (_READ, _ALL, _READ),
    # The registry's triggers write it with the rights of their caller, which is the API.
    "device_facts": (_READ, _ALL, _READ),
    "newest_facts": (_NOTHING, _READ, _READ),
    "vehicle_meter_assignment": (_READ, _ALL, _READ),
    "charging_session": (_READ, _ALL, _READ),
    "rollup_due": ("SELECT, INSERT, DELETE", _READ, _READ),
    "vehicle_due": (_ALL, _READ, _READ),
    "vehicle_day": (_KEEP, _READ, _READ),
    "vehicle_day_done": (_KEEP, _READ, _READ),
}
# Functions with the owner's rights, and who may call them: of some, only triggers. All other
# functions are everybody's.
DEFINERS = {"make_day": (CONSUMER,), "note_readings": (), "note_bonds": (), "note_facts": ()}
# The owner makes tables in the schema, and `schema check` makes a scratch schema in the database.
SCHEMA = {OWNER: "CREATE, USAGE", CONSUMER: "USAGE", API: "USAGE", READER: "USAGE"}
DATABASE = {OWNER: "CONNECT, CREATE", CONSUMER: "CONNECT", API: "CONNECT", READER: "CONNECT"}

_MADE = re.compile(
    r"^ *CREATE (?:OR REPLACE )?(TABLE|VIEW|FUNCTION|DOMAIN|TYPE) (?:IF NOT EXISTS )?(\w+)",
    re.MULTILINE,
)
_PRIVILEGE = re.compile(r"(\w+)(?: \(([^)]*)\))?")
# A REVOKE of a table's privilege takes those of its columns with it; the next round grants them.
_ROUNDS = 3
_LOCKS = "ALTER TABLE"


class Privilege(NamedTuple):
    """One privilege; `name` is '' of the schema and the database, `column` of a whole object."""

    grantee: str
    kind: str
    name: str
    column: str
    privilege: str


@cache
def privileges() -> tuple[Privilege, ...]:
    """Return every privilege that our roles and PUBLIC should have."""
    found = [
        one
        for table, rights in TABLES.items()
        for role, text in zip((CONSUMER, API, READER), rights, strict=True)
        for one in _privileges(role, "TABLE", table, text)
    ]
    found.append(Privilege(PUBLIC, "TABLE", "schema_version", "", "SELECT"))
    for function in _made("FUNCTION"):
        callers = DEFINERS.get(function, (PUBLIC,))
        found += [Privilege(role, "FUNCTION", function, "", "EXECUTE") for role in callers]
    for kind, rights_of in (("SCHEMA", SCHEMA), ("DATABASE", DATABASE)):
        for role, text in rights_of.items():
            found += _privileges(role, kind, "", text)
    return tuple(found)


def _privileges(role: str, kind: str, name: str, text: str) -> Iterator[Privilege]:
    for privilege, columns in _PRIVILEGE.findall(text):
        for column in columns.split(", "):
            yield Privilege(role, kind, name, column, privilege)


def _made(*kinds: str) -> list[str]:
    """Return the names of what the schema's files make, of these kinds."""
    return sorted({name for kind, name in _MADE.findall(objects_text()) if kind in kinds})


async def plan_roles(connection: Connection, *, tell: Tell) -> list[str]:
    """Return the statements that are missing; changes nothing.

    Raises UnfitDatabase without the newest schema, or if a role of our names is another's, and
    psycopg.Error.
    """
    async with alone(connection, tell, force_rollback=True):
        return await _plan(connection)


async def apply_roles(connection: Connection, *, tell: Tell) -> list[str]:
    """Execute the statements that are missing, and return them.

    What locks a table is a transaction of its own, and gives way to other sessions, as the steps of
    `schema apply` do. Raises UnfitDatabase if this role may not, and what `plan_roles` raises; what
    was done until then stays.
    """
    done: list[str] = []
    for _ in range(_ROUNDS):
        plan = await plan_roles(connection, tell=tell)
        if not plan:
            return done
        for _, group in groupby(plan, key=lambda one: one if one.startswith(_LOCKS) else ""):
            together = list(group)
            await giving_way(partial(_execute, connection, together, tell))
            done += together
    if left := await plan_roles(connection, tell=tell):
        # PostgreSQL warns only, if a privilege is another's to give or to take.
        raise UnfitDatabase(f"this role may not execute: {'; '.join(left)}")
    return done


async def are_handed_over(connection: Connection) -> bool:
    """Return whether the tables belong to the owner's role already."""
    cursor = await connection.execute(
        "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass('ingest_offset')"
    )
    return await cursor.fetchone() == (OWNER,)


async def _execute(connection: Connection, statements: list[str], tell: Tell) -> None:
    """Execute them in one transaction."""
    async with alone(connection, tell):
        for one in statements:
            try:
                await connection.execute(one.encode())
            except InsufficientPrivilege as error:
                raise UnfitDatabase(
                    f"this role may not: {one}: {error.diag.message_primary}"
                ) from error


async def _plan(connection: Connection) -> list[str]:
    await require_newest(connection)
    await _require_groups(connection)
    wanted = list(zip(*privileges(), strict=True))
    cursor = await connection.execute(
        statement("plan_roles"),
        {
            "roles": list(ROLES),
            "owner": OWNER,
            "relations": _made("TABLE", "VIEW"),
            "functions": _made("FUNCTION"),
            "types": _made("DOMAIN", "TYPE"),
        }
        | {
            f"wanted_{name}": list(values)
            for name, values in zip(
                ("grantees", "kinds", "names", "columns", "privileges"), wanted, strict=True
            )
        },
    )
    return [text for (text,) in await cursor.fetchall()]


async def _require_groups(connection: Connection) -> None:
    """Raise UnfitDatabase if a role of these names was made for something else."""
    cursor = await connection.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) AND (rolcanlogin OR rolsuper"
        " OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls) ORDER BY 1",
        [list(ROLES)],
    )
    if found := [name for (name,) in await cursor.fetchall()]:
        raise UnfitDatabase(
            f"{', '.join(found)}: should be a group without LOGIN, SUPERUSER and other attributes;"
            " ALTER ROLE takes them away, and logins are members of it"
        )
