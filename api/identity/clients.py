"""The clients that are known, and who of them has sent a request. Pure."""

import hmac
import secrets
from collections.abc import Collection, Iterable
from hashlib import blake2b

from api.identity.client import Client
from api.identity.stanzas import Stanza


class Ambiguous(Exception):  # noqa: N818  what the proofs are
    """The key and the names in the certificate of one request belong to different clients."""


class Clients:
    """Finds a client by its proof.

    Digests are looked up by a hash with a secret of this process, so that the time that it takes
    tells nothing about them, and is the same for a thousand clients.
    """

    def __init__(self, stanzas: Iterable[Stanza]) -> None:
        self._secret = secrets.token_bytes()
        self._by_digest: dict[bytes, tuple[bytes, Client]] = {}
        self._by_certificate: dict[str, Client] = {}
        self.names: set[str] = set()
        for one in stanzas:
            self.names.add(one.client.name)
            for digest in one.digests:
                self._by_digest[self._hidden(digest)] = (digest, one.client)
            for name in one.certificates:
                self._by_certificate[name] = one.client

    def found(self, digest: bytes | None, certificate: Collection[str]) -> Client | None:
        """Return the client of a key's digest, of the names in a certificate, or of both.

        Raises Ambiguous: a key that is not known is refused whatever the certificate says.
        """
        clients = {self._by_certificate[name] for name in certificate & self._by_certificate.keys()}
        if digest is not None:
            known, client = self._by_digest.get(self._hidden(digest), (b"", None))
            if client is None or not hmac.compare_digest(known, digest):
                return None
            clients.add(client)
        if len(clients) > 1:
            raise Ambiguous
        return next(iter(clients), None)

    def _hidden(self, digest: bytes) -> bytes:
        return blake2b(digest, key=self._secret).digest()
