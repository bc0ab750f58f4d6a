"""The caller of a request: the client that has sent it, or the address that it comes from."""

from starlette.types import Scope

from api.identity.client import Client

NOBODY = "(none)"
"""Stands for a client where there is none; no client can have this name."""
_CLIENT = "client:"


def name_caller(scope: Scope, client: Client | None = None) -> str:
    """Note the caller in the scope and return it: `client:` and a name, or `address:` and it.

    Behind a trusted proxy the address is the client's (`api.middleware.proxies`).
    """
    name = f"address:{address_of(scope)}" if client is None else f"{_CLIENT}{client.name}"
    scope["caller"] = name
    return name


def caller_of(scope: Scope) -> str:
    """Return the caller as `name_caller` noted it, or else the address."""
    return str(scope.get("caller") or name_caller(scope))


def client_name(caller: str) -> str:
    """Return the name of the client that a caller is, or NOBODY."""
    return caller.removeprefix(_CLIENT) if caller.startswith(_CLIENT) else NOBODY


def admit(scope: Scope, client: Client) -> None:
    """Note whom the request has been admitted as."""
    scope["client_admitted"] = client


def admitted(scope: Scope) -> Client | None:
    """Return whom the request has been admitted as; None where everybody may do everything."""
    client: Client | None = scope.get("client_admitted")
    return client


def address_of(scope: Scope) -> str:
    """Return the address that a request comes from, or `-` if it has none."""
    client = scope.get("client")
    return str(client[0]) if client else "-"
