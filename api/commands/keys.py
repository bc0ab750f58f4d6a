"""`python -m api keys`: keys of the clients in API_CLIENTS_FILE."""

import secrets
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from api.identity.client import Client, Scope
from api.identity.known import read, stanzas_of
from api.identity.stanzas import BadStanza, Stanza, written
from runtime.terminal import fail

app = typer.Typer(help="Keys of the clients in API_CLIENTS_FILE.", no_args_is_help=True)

Prefixes = Annotated[
    list[str] | None,
    typer.Option("--prefix", help="Only devices whose ids begin so. May be repeated."),
]


@app.command()
def new(
    name: Annotated[str, typer.Option(help="The client's name, for the log and the metrics.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do. May be repeated.")],
    prefix: Prefixes = None,
    expires: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First UTC day without access.")
    ] = None,
) -> None:
    """Make a key: it is shown once, with the stanza for API_CLIENTS_FILE, which has its digest."""
    key = secrets.token_urlsafe(32)
    until = None if expires is None else expires.replace(tzinfo=UTC)
    try:
        stanza = written(
            name,
            sha256(key.encode()).hexdigest(),
            scopes=list(dict.fromkeys(scope)),
            prefixes=prefix or (),
            expires=until,
        )
    except BadStanza as error:
        fail(str(error), code=2)
    typer.echo(f"# The key, which is kept nowhere: {key}")
    typer.echo(stanza)


@app.command()
def check(file: Path) -> None:
    """Check a file of clients, and list them; exit code 1 if it cannot be used."""
    try:
        stanzas = stanzas_of(read(file))
    except BadStanza as error:
        fail(f"{file}: {error}", code=1)
    now = datetime.now(UTC)
    for one in stanzas:
        typer.echo(f"{one.client.name}: {_described(one, one.client, now)}")


def _described(stanza: Stanza, client: Client, now: datetime) -> str:
    said = [", ".join(sorted(client.scopes)), _counted(stanza)]
    if stanza.certificates:
        said.append(f"certificates {', '.join(stanza.certificates)}")
    if client.prefixes:
        said.append(f"devices {', '.join(f'{one}*' for one in client.prefixes)}")
    if client.expires is not None:
        ended = "has ended" if client.has_expired(now) else "ends"
        said.append(f"{ended} at {client.expires:%F %T}Z")
    return "; ".join(said)


def _counted(stanza: Stanza) -> str:
    count = len(stanza.digests)
    return "1 key" if count == 1 else f"{count} keys"
