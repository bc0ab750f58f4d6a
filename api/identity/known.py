"""The clients of API_KEYS and of API_CLIENTS_FILE, read again once the file has changed."""

import stat
from collections.abc import Callable, Set
from datetime import UTC, datetime
from pathlib import Path

import structlog

from api.identity.clients import Clients
from api.identity.stanzas import BadStanza, Stanza, numbered, parse
from api.settings import AccessSettings
from runtime.settings import SettingsError

log = structlog.get_logger()

SETTING = "API_CLIENTS_FILE"
_MOST_BYTES = 4 << 20


class Known:
    """`clients` are those that are known now.

    `note_gone` is called with the names of those that were removed or changed, or whose access has
    ended: what they have begun should end.
    """

    def __init__(self, settings: AccessSettings) -> None:
        """Read the file; raises SettingsError."""
        self._file = settings.api_clients_file
        self._numbered = numbered(settings.digests)
        self._tried = b""
        self.are_needed = bool(self._numbered) or self._file is not None
        self.note_gone: Callable[[Set[str]], None] = lambda _: None
        self._stanzas: dict[str, Stanza] = {}
        try:
            self._take(self._read())
        except BadStanza as error:
            raise SettingsError(f"{SETTING}: {self._file}: {error}") from error

    def renew(self, *, asked: bool) -> None:
        """Take over a file that has changed; one that is broken changes nothing."""
        gone: set[str] = set()
        try:
            found = self._read()
            if asked or found != self._tried:
                gone = self._take(found)
                log.info("api_clients_renewed", clients=len(self._stanzas))
        except BadStanza as error:
            log.error(  # noqa: TRY400  one line says it
                "api_clients_refused", file=str(self._file), error=str(error), help="the old stay"
            )
        now = datetime.now(UTC)
        gone |= {name for name, one in self._stanzas.items() if one.client.has_expired(now)}
        self.note_gone(gone)

    def _take(self, found: bytes) -> set[str]:
        """Return the names of the clients that were changed or removed.

        Raises BadStanza.
        """
        self._tried = found
        stanzas = [*self._numbered, *(stanzas_of(found) if self._file is not None else ())]
        _check_apart(self._numbered, stanzas)
        now = {one.client.name: one for one in stanzas}
        changed = {name for name, one in self._stanzas.items() if now.get(name) != one}
        self._stanzas, self.clients = now, Clients(stanzas)
        return changed

    def _read(self) -> bytes:
        return b"" if self._file is None else read(self._file)


def read(file: Path) -> bytes:
    """Return what the file holds; raises BadStanza."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # one could wait for ever for a pipe
            raise BadStanza("is not a file")
        with file.open("rb") as opened:
            found = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise BadStanza(f"cannot be read: {error.strerror}") from error
    if len(found) > _MOST_BYTES:
        raise BadStanza(f"has over {_MOST_BYTES} bytes")
    return found


def stanzas_of(found: bytes) -> list[Stanza]:
    """Return the clients that the bytes of a file name; raises BadStanza."""
    try:
        return parse(found.decode())
    except UnicodeDecodeError as error:
        raise BadStanza("is not UTF-8") from error


def _check_apart(of_setting: list[Stanza], stanzas: list[Stanza]) -> None:
    """Raise BadStanza if a key of API_KEYS is in the file too: it would lose its scopes' bounds."""
    everything = {digest for one in of_setting for digest in one.digests}
    for one in stanzas[len(of_setting) :]:
        if not everything.isdisjoint(one.digests):
            raise BadStanza(f"clients.{one.client.name}.keys: has a key of API_KEYS")
