"""`python -m consumer schema`: bring schema and roles to a version, or show how they differ."""

import time
from functools import partial
from typing import Annotated

import typer

from consumer.commands.servers import with_database
from consumer.commands.terminal import note, out
from consumer.errors import UnfitDatabase
from consumer.postgres import roles, schema, schema_rollback
from consumer.postgres.connection import Connection
from consumer.postgres.migrations import migrations
from consumer.postgres.schema import Plan
from consumer.settings import HistorySettings
from consumer.upkeep import retention
from runtime.settings import load
from runtime.terminal import errors, fail

app = typer.Typer(
    help="The schema in DATABASE_URL: create it, bring it to the newest version or back, check it.",
    epilog="Exit codes: 0 done, 1 refused or the schema differs, 2 a wrong setting.",
    no_args_is_help=True,
)


@app.command("apply")
def apply(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only list what would be done")
    ] = False,
) -> None:
    """Create the schema or bring it to the newest version; safe to repeat.

    Each migration that the database lacks is a transaction of its own. Replicas, of this release or
    the one before, go on meanwhile: what has to wait for them gives up after a second and tries
    again. Then functions and views that differ are replaced, and the histories' partitions of the
    days ahead are made. If wattline_owner has the tables, roles are brought up to date too. A
    database that is newer than this code is refused. While another `apply`
    runs, this one waits for it.
    """
    history = load(HistorySettings)

    async def work(connection: Connection) -> list[str]:
        for line in await schema.apply_schema(connection, tell=note):
            out.print(line)
        if await roles.are_handed_over(connection):  # the new objects are the roles' too
            for line in await roles.apply_roles(connection, tell=note):
                out.print(line)
        differences = await schema.check_schema(connection, tell=note)
        if not differences:
            await retention.maintain(connection, history, now_us=time.time_ns() // 1_000)
        return differences

    try:
        if dry_run:
            _report_plan(with_database(partial(schema.plan_schema, tell=note), needs_schema=False))
        else:
            _report_differences(with_database(work, needs_schema=False))
    except UnfitDatabase as error:
        fail(str(error), code=1)


@app.command("check")
def check() -> None:
    """Show what is missing or differs, and change nothing.

    Names the migrations that are not applied yet. Compares tables, indexes, views, types,
    functions, triggers and grants to PUBLIC with the schema's files; other objects of the database
    are left out, other grants and owners too (see `schema roles --dry-run`). The comparison takes
    CREATE on the database. Exit code 1 if something is missing or differs.
    """
    try:
        _report_differences(
            with_database(partial(schema.check_schema, tell=note), needs_schema=False)
        )
    except UnfitDatabase as error:
        fail(str(error), code=1)


@app.command("roles")
def roles_command(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only list what would be done")
    ] = False,
) -> None:
    """Make the four roles, and let each do what it needs and no more; safe to repeat.

    wattline_owner gets the tables, functions and days. wattline_consumer, wattline_api and
    wattline_reader get their privileges; one too many is taken back, also from PUBLIC. All are
    groups: make logins yourself (CREATE ROLE ... LOGIN IN ROLE wattline_consumer). Each statement
    is printed. What locks a table gives way to replicas. Exit code 1 if this role may not do it.
    """
    work = roles.plan_roles if dry_run else roles.apply_roles
    try:
        lines = with_database(partial(work, tell=note), needs_schema=False)
    except UnfitDatabase as error:
        fail(str(error), code=1)
    for line in lines:
        out.print(f"would execute {line}" if dry_run else line)
    if not lines:
        out.print("the roles are as they should be")


@app.command("rollback")
def rollback(
    *,
    to: Annotated[int, typer.Option("--to", min=0, help="the version to go back to")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="try it, undo it, and list what would be done")
    ] = False,
) -> None:
    """Go back to an older version of the schema, where nothing is lost by it; safe to repeat.

    First replace all replicas by those of the release that needs that version: newer ones are not
    ready any more afterwards. The migrations after it are undone one by one, the newest first, each
    in a transaction of its own. One that cannot be undone, or would lose something, is refused
    before anything is done, or stops the way back where it is.
    """
    work = schema_rollback.try_rollback if dry_run else schema_rollback.roll_back
    try:
        lines = with_database(partial(work, version=to, tell=note), needs_schema=False)
    except UnfitDatabase as error:
        fail(str(error), code=1)
    for line in lines or [f"nothing to do: the schema is at version {to}"]:
        out.print(line)


def _report_plan(plan: Plan) -> None:
    if plan.version is None:
        out.print(f"would create the schema at version {migrations()[-1].version}")
        return
    for migration in plan.missing:
        out.print(f"would apply {migration.name}")
    for line in plan.differences:
        out.print(f"would create or replace {line}")
    if not plan.missing and not plan.differences:
        out.print(f"nothing to do: the schema is at version {plan.version} and as it should be")


def _report_differences(differences: list[str]) -> None:
    for line in differences:
        errors.print(line)
    if differences:
        fail(f"the schema differs from its files in {len(differences)} places", code=1)
    out.print("the schema is as it should be")
