"""Who asks: the id of the key that a request carries, or the address that it comes from."""

from starlette.types import Scope

_ID_DIGITS = 8


def name_caller(scope: Scope, *, digest: bytes | None = None) -> str:
    """Note in the scope who asks, and return it: `key:` and an id, or `address:` and an address.

    The id of a key is the beginning of its digest, which tells nothing of the key.
    """
    if digest is not None:
        name = f"key:{digest.hex()[:_ID_DIGITS]}"
    else:
        client = scope.get("client")
        name = f"address:{client[0] if client else '-'}"
    scope["caller"] = name
    return name


def caller_of(scope: Scope) -> str:
    """Return who asks, as `name_caller` noted it; the address where nobody has."""
    return str(scope.get("caller") or name_caller(scope))
