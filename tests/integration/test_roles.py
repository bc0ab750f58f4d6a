"""The roles of a database may do what docs/roles.md says, and nothing else."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege, InvalidParameterValue

from consumer.errors import NotTheOwner, UnfitDatabase
from consumer.postgres.connection import Connection
from consumer.postgres.days import make_days
from consumer.postgres.roles import API, CONSUMER, OWNER, READER, ROLES, apply_roles, plan_roles
from consumer.postgres.schema import apply_schema, check_schema
from consumer.settings import HistorySettings
from consumer.upkeep.retention import maintain
from deploy.replica import ROOT
from telemetry.streams import METER
from tests.databases import Template
from tests.integration.conftest import rows
from tests.integration.days import OLD, TODAY, name, number, states

DOCUMENTED = (ROOT / "docs" / "roles.md").read_text()
# Every privilege of somebody else than its owner, on what belongs to us or holds it.
CATALOGUE = """
SELECT DISTINCT object, coalesce(role.rolname, 'PUBLIC'), privilege_type
FROM (
    SELECT relname AS object, relowner AS owner, coalesce(relacl, acldefault('r', relowner)) AS acl
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')
    UNION ALL
    SELECT relname, relowner, relacl
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
    UNION ALL
    SELECT concat(relname, '.', attname), relowner, attacl
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT proname, proowner, coalesce(proacl, acldefault('f', proowner))
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prolang <> 12
    UNION ALL
    SELECT concat('type ', typname), typowner, typacl
    FROM pg_type WHERE typnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'the schema', nspowner, nspacl FROM pg_namespace WHERE nspname = 'public'
    UNION ALL
    SELECT 'the database', datdba, datacl FROM pg_database WHERE datname = current_database()
) AS held
CROSS JOIN LATERAL aclexplode(acl) AS granted
LEFT JOIN pg_roles AS role ON role.oid = granted.grantee
WHERE granted.grantee <> owner
  AND NOT (grantee = 0 AND (object IN ('the schema', 'the database') OR object LIKE 'type %'))
UNION ALL
SELECT granted.rolname, member.rolname, 'member'
FROM pg_auth_members
JOIN pg_roles AS granted ON granted.oid = roleid
JOIN pg_roles AS member ON member.oid = pg_auth_members.member AND NOT member.rolcanlogin
WHERE granted.rolname LIKE 'wattline%' OR member.rolname LIKE 'wattline%'
"""
OWNERS = """
SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class
WHERE relnamespace = 'public'::regnamespace
UNION SELECT pg_get_userbyid(proowner) FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND prolang <> 12
UNION SELECT pg_get_userbyid(typowner) FROM pg_type
WHERE typnamespace = 'public'::regnamespace AND typname IN ('device_id', 'text_range')
"""
Privileges = set[tuple[str, str, str]]


def nobody(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def roles_url(template: Template) -> Iterator[str]:
    """A database with a day, and with roles as they should be."""

    async def prepare(url: str) -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await make_days(connection, METER, [number(TODAY)])
            await apply_roles(connection, tell=nobody)

    with template.copy() as url:
        asyncio.run(prepare(url))
        yield url


@pytest.fixture
async def database(roles_url: str) -> AsyncIterator[Connection]:
    """A transaction with it that is rolled back."""
    async with (
        await psycopg.AsyncConnection.connect(roles_url, autocommit=True) as connection,
        connection.transaction(force_rollback=True),
    ):
        yield connection


def cells(heading: str) -> list[list[str]]:
    """Return the rows of the table of docs/roles.md that begins with these words."""
    [table] = re.findall(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", DOCUMENTED, re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()]


def documented(functions: set[str]) -> Privileges:
    """Return the privileges that the documentation gives, by object, role and privilege."""
    found: Privileges = set()

    def add(thing: str, role: str, text: str) -> None:
        for privilege, columns in re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", text):
            for column in columns.split(", "):
                found.add((f"{thing}.{column}" if column else thing, role, privilege))

    for table, *rights in cells("table"):
        for role, text in zip((CONSUMER, API, READER), rights, strict=True):
            add(table.strip("`"), role, text)
    told: set[str] = set()
    for things, roles, text in cells("beside tables"):
        for thing in re.findall(r"the (?:database|schema)|`\w+`", things):
            told.add(thing.strip("`"))
            for role in re.findall(r"wattline_\w+|PUBLIC", roles):
                add(thing.strip("`"), role, text)
    for function in functions - told:
        add(function, "PUBLIC", "EXECUTE")
    return found


async def privileges(connection: Connection) -> Privileges:
    return {(str(one), str(who), str(what)) for one, who, what in await rows(connection, CATALOGUE)}


async def wanted(connection: Connection) -> Privileges:
    functions = await rows(
        connection,
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prolang <> 12",
    )
    return documented({str(function) for (function,) in functions})


@asynccontextmanager
async def acting_as(connection: Connection, role: str) -> AsyncIterator[None]:
    """Have the rights of a role; what fails is undone, and the transaction goes on."""
    async with connection.transaction(force_rollback=True):
        await connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        yield


async def test_roles_are_made_from_nothing_and_a_second_time_changes_nothing(
    database: Connection,
) -> None:
    for role in ROLES:
        await database.execute(f"ALTER ROLE {role} RENAME TO aside_{role}")
    planned = await plan_roles(database, tell=nobody)
    assert [f"CREATE ROLE {role} NOLOGIN" for role in sorted(ROLES)] == planned[:4]
    assert await apply_roles(database, tell=nobody) == planned
    assert await plan_roles(database, tell=nobody) == []
    assert await apply_roles(database, tell=nobody) == []
    assert await rows(database, OWNERS) == [(OWNER,)]
    aside = {one for one in await privileges(database) if one[1].startswith("aside_")}
    assert await privileges(database) - aside == await wanted(database)


DATABASE_DO = "DO $$ BEGIN EXECUTE format('{}', current_database()); END $$"
TOO_MANY = [
    "GRANT UPDATE ON meter_history TO wattline_reader",
    "GRANT SELECT (value) ON dead_letter TO wattline_api",
    "GRANT TRUNCATE ON ingest_offset TO wattline_consumer WITH GRANT OPTION",
    "GRANT DELETE ON vehicle_day TO PUBLIC",
    "GRANT EXECUTE ON FUNCTION make_day(regclass, date) TO wattline_api",
    "GRANT EXECUTE ON FUNCTION note_readings() TO PUBLIC",
    "GRANT UPDATE ON SEQUENCE rollup_due_due_id_seq TO wattline_consumer",
    f"GRANT SELECT ON {name(TODAY)} TO wattline_reader",
    "GRANT USAGE ON TYPE device_id TO wattline_api",
    "GRANT CREATE ON SCHEMA public TO wattline_consumer",
    DATABASE_DO.format("GRANT TEMPORARY ON DATABASE %I TO wattline_reader"),
    "GRANT wattline_owner TO wattline_reader",
    "GRANT pg_write_all_data TO wattline_api",
]
TOO_FEW = [
    "REVOKE INSERT ON vehicle_history FROM wattline_consumer",
    "REVOKE EXECUTE ON FUNCTION make_day(regclass, date) FROM wattline_consumer",
    "REVOKE EXECUTE ON FUNCTION exactly(text) FROM PUBLIC",
    "REVOKE SELECT (reason) ON dead_letter FROM wattline_api",
    "REVOKE SELECT ON schema_version FROM PUBLIC",
    "REVOKE USAGE ON SCHEMA public FROM wattline_api",
]


async def test_a_right_too_many_and_one_too_few_are_found_and_put_right(
    database: Connection,
) -> None:
    before = await privileges(database)
    assert before == await wanted(database)
    for change in TOO_MANY + TOO_FEW:
        async with database.transaction(force_rollback=True):
            await database.execute(change.encode())
            assert await privileges(database) != before
            [statement] = await plan_roles(database, tell=nobody)
            await database.execute(statement.encode())
            assert await privileges(database) == before, change


async def test_a_right_to_columns_outlasts_that_to_the_table(database: Connection) -> None:
    """To take that back takes the other with it."""
    before = await privileges(database)
    await database.execute("GRANT SELECT ON dead_letter TO wattline_api")
    await apply_roles(database, tell=nobody)
    assert await privileges(database) == before


async def test_a_right_to_grant_is_taken_back_with_what_was_granted_by_it(
    database: Connection,
) -> None:
    before = await privileges(database)
    await database.execute("GRANT SELECT ON meter TO wattline_reader WITH GRANT OPTION")
    await database.execute("SET LOCAL ROLE wattline_reader")
    await database.execute("GRANT SELECT ON meter TO pg_monitor")
    await database.execute("RESET ROLE")
    await apply_roles(database, tell=nobody)
    assert await privileges(database) == before


async def test_what_is_another_s_or_to_another_is_left_alone(database: Connection) -> None:
    await database.execute("CREATE TABLE report (day date)")
    await database.execute("GRANT ALL ON report TO PUBLIC, wattline_reader")
    await database.execute("GRANT INSERT ON meter TO pg_monitor")
    await database.execute("CREATE TABLE early PARTITION OF meter_history DEFAULT")
    assert await plan_roles(database, tell=nobody) == []


async def test_what_is_not_the_owner_s_becomes_his(database: Connection) -> None:
    await database.execute("CREATE ROLE somebody")
    for thing in ("TABLE meter", f"TABLE {name(TODAY)}", "FUNCTION note_bonds()", "TYPE device_id"):
        await database.execute(f"ALTER {thing} OWNER TO somebody")
    assert len(await apply_roles(database, tell=nobody)) == 4
    assert await rows(database, OWNERS) == [(OWNER,)]


async def test_a_role_that_is_another_s_is_not_taken_over(database: Connection) -> None:
    await database.execute("ALTER ROLE wattline_reader LOGIN")
    with pytest.raises(UnfitDatabase, match=r"^wattline_reader: should be a group"):
        await apply_roles(database, tell=nobody)


async def test_an_owner_hands_over_and_goes_on_and_others_may_not(database: Connection) -> None:
    """The owner is no superuser: he may make roles, and has the database and the tables."""
    for role in ROLES:
        await database.execute(f"ALTER ROLE {role} RENAME TO aside_{role}")
    await database.execute("CREATE ROLE former CREATEROLE; CREATE ROLE stranger")
    await database.execute(DATABASE_DO.format("ALTER DATABASE %I OWNER TO former").encode())
    await database.execute("GRANT CREATE ON SCHEMA public TO former WITH GRANT OPTION")
    await database.execute("GRANT USAGE ON SCHEMA public TO former WITH GRANT OPTION")
    await database.execute("REASSIGN OWNED BY aside_wattline_owner TO former")
    await database.execute("SET SESSION AUTHORIZATION stranger")
    with pytest.raises(UnfitDatabase, match=r"may not: CREATE ROLE .*: permission denied"):
        await apply_roles(database, tell=nobody)
    await database.execute("SET SESSION AUTHORIZATION former")
    await apply_roles(database, tell=nobody)
    assert await rows(database, OWNERS) == [(OWNER,)]
    # What worked before goes on, and what a later version adds becomes the owner's.
    await database.execute("DROP FUNCTION make_day; DROP VIEW newest_facts")
    await apply_schema(database)
    assert await check_schema(database) == []
    assert set(await rows(database, OWNERS)) == {("former",), (OWNER,)}
    await apply_roles(database, tell=nobody)
    assert await rows(database, OWNERS) == [(OWNER,)]
    assert await make_days(database, METER, [number(OLD)]) == 1
    await database.execute("RESET SESSION AUTHORIZATION")


async def test_a_comparison_says_in_one_line_what_it_needs(database: Connection) -> None:
    async with acting_as(database, READER):
        with pytest.raises(UnfitDatabase, match="GRANT CREATE ON DATABASE") as refused:
            await check_schema(database)
        assert "\n" not in str(refused.value)
    async with acting_as(database, OWNER):
        assert await check_schema(database) == []


async def test_a_consumer_makes_days_and_leaves_their_removal_to_the_owner(
    database: Connection,
) -> None:
    settings = HistorySettings(history_retention_days=30, partitions_ahead_days=1)
    today_us = number(TODAY) * 86_400_000_000
    async with acting_as(database, CONSUMER):
        with pytest.raises(NotTheOwner, match="removed by the owner of the histories, watt"):
            await maintain(database, settings, now_us=today_us)
    await database.execute("SET LOCAL ROLE wattline_consumer")
    assert await make_days(database, METER, [number(OLD)]) == 1
    assert (await states(database))[name(OLD)] == "attached"
    await database.execute("RESET ROLE")
    assert await rows(database, OWNERS) == [(OWNER,)]


async def test_nobody_else_makes_days(database: Connection) -> None:
    for role in (API, READER, "pg_monitor"):
        async with acting_as(database, role):
            with pytest.raises(InsufficientPrivilege, match="function make_day"):
                await database.execute("SELECT public.make_day('public.meter_history', %s)", [OLD])


@pytest.mark.parametrize(
    ("history", "day"),
    [
        ("meter", "2026-01-01"),
        (name(TODAY), "2026-01-01"),
        (None, "2026-01-01"),
        ("meter_history", None),
        ("meter_history", "1999-12-31"),
        ("meter_history", "infinity"),
        ("meter_history", "2126-01-01"),
    ],
)
async def test_only_days_of_a_history_are_made(
    database: Connection, history: str | None, day: str | None
) -> None:
    async with acting_as(database, CONSUMER):
        with pytest.raises(InvalidParameterValue, match="has no day"):
            await database.execute("SELECT make_day(%s, %s)", [history, day])


async def test_a_table_that_somebody_else_has_laid_out_is_not_touched(
    database: Connection,
) -> None:
    """Its defaults, checks or indexes could run his functions with the owner's rights."""
    trap = uuid.uuid4().hex
    await database.execute(f"CREATE ROLE {CONSUMER}_{trap} IN ROLE {CONSUMER}")
    await database.execute(f"CREATE SCHEMA trap AUTHORIZATION {CONSUMER}_{trap}")
    await database.execute(f"GRANT CREATE ON SCHEMA public TO {CONSUMER}_{trap}")
    async with acting_as(database, f"{CONSUMER}_{trap}"):
        await database.execute(f"CREATE TABLE {name(OLD)} (LIKE meter_history)")
        with pytest.raises(InsufficientPrivilege, match=f"{name(OLD)} does not"):
            async with database.transaction():
                await database.execute("SELECT make_day('meter_history', %s)", [OLD])
        await database.execute(
            "CREATE TABLE trap.meter_history (meter_id text, recorded_at timestamptz)"
            " PARTITION BY RANGE (recorded_at)"
        )
        with pytest.raises(InsufficientPrivilege, match=r"trap\.meter_history does not"):
            await database.execute("SELECT make_day('trap.meter_history', %s)", [OLD])
