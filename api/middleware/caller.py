"""The caller of a request: the id of its key, or the address that it comes from."""

from starlette.types import Scope

_ID_DIGITS = 8


def name_caller(scope: Scope, *, digest: bytes | None = None) -> str:
    """Note the caller in the scope and return it: `key:` and an id, or `address:` and an address.

    The id of a key is the beginning of its digest, which does not reveal the key. Behind a trusted
    proxy the address is the client's (`api.middleware.proxies`).
    """
    if digest is not None:
        name = f"key:{digest.hex()[:_ID_DIGITS]}"
    else:
        name = f"address:{address_of(scope)}"
    scope["caller"] = name
    return name


def caller_of(scope: Scope) -> str:
    """Return the caller as `name_caller` noted it, or else the address."""
    return str(scope.get("caller") or name_caller(scope))


def address_of(scope: Scope) -> str:
    """Return the address that a request comes from, or `-` if it has none."""
    client = scope.get("client")
    return str(client[0]) if client else "-"
