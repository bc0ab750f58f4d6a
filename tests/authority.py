"""A certificate authority of a test's own."""

import subprocess
from pathlib import Path

from deploy.local.ports import HOST
from tests.needed import program

# Of elliptic curves: one for RSA takes a quarter of a second to make.
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


class Authority:
    """An authority, and the certificates that it has signed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        self._serial = 0
        openssl(
            "req", "-x509", *NEW_KEY, "-nodes", "-days", "2", "-subj", "/CN=test CA",
            "-keyout", str(self._key), "-out", str(self.certificate),
        )  # fmt: skip

    def sign(
        self, name: str, *, host: str = HOST, days: int = 2, more: str = "", password: str = ""
    ) -> tuple[Path, Path]:
        """Return the files of a new certificate and of its key.

        It is the host's and has `more` names (`DNS:…`). It expires in this many days, or has
        expired if they are negative. With a password its key is encrypted.
        """
        certificate, key, asked = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        self._serial += 1
        names = self.folder / f"{name}.names"
        names.write_text(f"subjectAltName=IP:{host}{',' if more else ''}{more}\n")
        encrypted = ("-passout", f"pass:{password}") if password else ("-nodes",)
        openssl(
            "req", *NEW_KEY, *encrypted, "-subj", f"/CN={name}",
            "-keyout", str(key), "-out", str(asked),
        )  # fmt: skip
        openssl(
            "x509", "-req", "-in", str(asked), "-days", str(days), "-CA", str(self.certificate),
            "-CAkey", str(self._key), "-set_serial", str(self._serial), "-extfile", str(names),
            "-out", str(certificate),
        )  # fmt: skip
        return certificate, key


def openssl(*arguments: str, given: bytes = b"") -> bytes:
    """Return what openssl prints."""
    words = [program("openssl", package="openssl"), *arguments]
    return subprocess.run(words, check=True, capture_output=True, input=given).stdout
