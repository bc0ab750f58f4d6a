"""How a session with PostgreSQL begins: which settings are pinned, and which a URL may change."""

import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

import api.postgres.database
from api.settings import PoolSettings
from consumer.errors import UnfitDatabase
from consumer.postgres.connection import connect as connect_consumer
from consumer.postgres.schema import apply_schema, check_schema
from consumer.settings import DatabaseSettings
from deploy.local.stack import Addresses
from runtime.postgres.schema_version import UnfitSchema, require_schema
from runtime.postgres.session import connect

PROGRAMS = ("consumer", "api", "simulator")
SHOWN = ("search_path", "synchronous_commit", "DateStyle", "extra_float_digits", "client_encoding")
DEFAULTS = ('"$user", public', "on", "ISO, MDY", "1", "UTF8")


async def shown(program: str, url: str) -> tuple[str, ...]:
    """Return the values of the settings SHOWN in a session of the program."""
    asked = "SELECT {}".format(
        ", ".join(f"current_setting('{name}') AS s_{name}" for name in SHOWN)
    )
    if program == "simulator":
        with connect(url, application_name="test") as tool:
            row = tool.execute(asked).fetchone()
        assert row is not None
        return row
    if program == "consumer":
        connection = await connect_consumer(DatabaseSettings(database_url=SecretStr(url)))
        async with connection:
            cursor = await connection.execute(asked)
            found = await cursor.fetchone()
        assert found is not None
        return found
    database = api.postgres.database.Database(PoolSettings(database_url=SecretStr(url)))
    async with database.opened(), database.read() as lent:
        answer = await (await lent.execute(asked)).fetchone()
    assert answer is not None
    return tuple(answer.values())


@contextmanager
def another_database(servers: Addresses, clause: str = "") -> Iterator[str]:
    """Make an empty database, and drop it at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} {clause}".encode())
        yield servers.database_url.rsplit("/", 1)[0] + f"/{name}"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@asynccontextmanager
async def session(url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await connect_consumer(DatabaseSettings(database_url=SecretStr(url))) as connection:
        yield connection


def configure(url: str, **settings: str) -> None:
    """Set the defaults of every session with this database."""
    with psycopg.connect(url, autocommit=True) as connection:
        database = sql.Identifier(connection.info.dbname)
        for name, value in settings.items():
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} TO {}").format(
                    database, sql.Identifier(name), sql.Literal(value)
                )
            )


@pytest.mark.parametrize("program", PROGRAMS)
async def test_every_program_pins_what_the_database_sets(program: str, database_url: str) -> None:
    configure(
        database_url,
        search_path="elsewhere",
        synchronous_commit="off",
        datestyle="SQL, DMY",
        extra_float_digits="0",
        client_encoding="LATIN1",
    )
    assert await shown(program, database_url) == DEFAULTS


@pytest.mark.parametrize("program", PROGRAMS)
async def test_what_the_url_says_on_purpose_counts_and_what_answers_need_does_not_give_way(
    program: str, database_url: str
) -> None:
    configure(database_url, search_path="elsewhere", synchronous_commit="local")
    options = ("search_path=mine", "synchronous_commit=off", "datestyle=German")
    query = "%20".join(f"-c{option.replace('=', '%3D')}" for option in options)
    found = await shown(program, f"{database_url}?client_encoding=LATIN1&options={query}")
    assert found == ("mine", "off", *DEFAULTS[2:])


@pytest.mark.parametrize("program", PROGRAMS)
async def test_of_several_hosts_the_one_that_takes_writes_is_found(
    program: str, database_url: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        away = taken.getsockname()[1]
    login, address = database_url.split("@", 1)
    url = f"{login}@127.0.0.1:{away},{address}?target_session_attrs=read-write"
    assert await shown(program, url) == DEFAULTS


async def test_a_server_without_tls_is_not_spoken_to_in_the_clear(database_url: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="SSL"):
        await shown("consumer", f"{database_url}?sslmode=verify-full&sslrootcert=system")


async def test_a_commit_is_not_made_to_wait_for_less(database_url: str) -> None:
    configure(database_url, synchronous_commit="remote_apply")
    assert (await shown("consumer", database_url))[1] == "remote_apply"


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_role_that_may_not_set_everything_pins_the_rest(
    program: str, database_url: str
) -> None:
    configure(database_url, session_replication_role="replica", datestyle="SQL, DMY")
    role = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'".encode())
        try:
            address = database_url.split("@", 1)[1]
            assert await shown(program, f"postgresql://{role}:secret@{address}") == DEFAULTS
        finally:
            admin.execute(f"DROP ROLE {role}".encode())


async def test_tables_that_only_the_role_s_search_path_finds_are_not_made_again(
    servers: Addresses,
) -> None:
    with another_database(servers) as url:
        configure(url, search_path="mine")
        with psycopg.connect(url) as admin:
            admin.execute("CREATE SCHEMA mine")
        async with session(f"{url}?options=-csearch_path%3Dmine") as connection:
            await apply_schema(connection)
            assert await check_schema(connection) == []
        async with session(url) as connection:
            for question in (apply_schema, check_schema):
                with pytest.raises(UnfitDatabase, match="options=-csearch_path%3Dmine"):
                    await question(connection)
        async with session(f"{url}?options=-csearch_path%3Dpublic") as connection:
            await apply_schema(connection)  # on purpose


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_of_another_encoding_is_refused(servers: Addresses, encoding: str) -> None:
    """LATIN1 lacks letters; without an encoding bytes are counted where letters are meant."""
    line = f"the database's encoding is {encoding}, and should be UTF8"
    clause = f"TEMPLATE template0 ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C'"
    with another_database(servers, clause) as url:
        async with session(url) as connection:
            for question in (apply_schema, check_schema):
                with pytest.raises(UnfitDatabase, match=line):
                    await question(connection)
            with pytest.raises(UnfitSchema, match=line):  # by replicas, and by the API
                await require_schema(connection)
