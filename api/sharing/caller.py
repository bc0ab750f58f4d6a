"""Who asks: the id of the key that a request carries, or the address that it comes from."""

from starlette.types import Scope

_ID_DIGITS = 8


def name_caller(scope: Scope, *, digest: bytes | None = None) -> str:
    """Note in the scope who asks, and return it: `key:` and an id, or `address:` and an address.

    The id of a key is the beginning of its digest, which tells nothing of the key. The address is
    the client's where a trusted proxy has passed it on (`api.middleware.proxies`).
    """
    if digest is not None:
        name = f"key:{digest.hex()[:_ID_DIGITS]}"
    else:
        name = f"address:{address_of(scope)}"
    scope["caller"] = name
    return name


def caller_of(scope: Scope) -> str:
    """Return who asks, as `name_caller` noted it; the address where nobody has."""
    return str(scope.get("caller") or name_caller(scope))


def address_of(scope: Scope) -> str:
    """Return the address that a request comes from; `-` where it comes from none."""
    client = scope.get("client")
    return str(client[0]) if client else "-"
