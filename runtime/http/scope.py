"""What a connection and the application tell each other about a request, in its scope."""

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

CLIENT_GONE = 499
"""Not a status of HTTP: nginx and others log it for a client that did not wait for its answer."""
_CUT_OFF, _GIVES_WAY = "cut_off", "gives_way"
CERTIFICATE = "certificate"
"""The key in a request's state of the names in its client's certificate."""


def cut_off(scope: Scope) -> int | None:
    """Return the status of a request that ended before its answer did, else None.

    The status is the one that the server itself has sent, or CLIENT_GONE.
    """
    status: int | None = scope.get("state", {}).get(_CUT_OFF)
    return status


def certificate_names(scope: Scope) -> frozenset[str]:
    """Return the names in the client's certificate, such as `DNS:gw-1`; none without one."""
    names: frozenset[str] = scope.get("state", {}).get(CERTIFICATE, frozenset())
    return names


def give_way(scope: Scope) -> None:
    """Let the connection of this request, which is only kept waiting, be closed first."""
    scope.setdefault("state", {})[_GIVES_WAY] = True


def gives_way(cycle: RequestResponseCycle) -> bool:
    """Return whether the application has told the request to give way."""
    return bool(cycle.scope["state"].get(_GIVES_WAY))


def end(cycle: RequestResponseCycle, status: int) -> None:
    """Tell the application that the request has ended before its answer, and with which status."""
    cycle.scope["state"][_CUT_OFF] = status
    cycle.disconnected = True
    cycle.message_event.set()
