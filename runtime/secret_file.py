"""Secrets in files, as Docker and Kubernetes hand them out: `NAME_FILE` names that of `NAME`."""

import stat
from collections.abc import Callable
from pathlib import Path

import structlog
from pydantic import SecretStr

log = structlog.get_logger()

MOST_BYTES = 65_536


class SecretFileError(ValueError):
    """The file's text cannot be used; the message does not quote it, nor the path."""


class SecretFile(SecretStr):
    """A secret that is read from its file each time it is asked for, because it may be rotated.

    If the file cannot be read any more, or `check` raises ValueError for what it holds, that is
    logged once, and the secret is what it was before.
    """

    def __init__(self, path: Path, *, setting: str, check: Callable[[str], object]) -> None:
        """Read the file for the first time, without the check; raises SecretFileError."""
        super().__init__(read_secret(path))
        self._path = path
        self._setting = setting
        self._check = check
        self._complaint = ""

    def get_secret_value(self) -> str:
        """Return the secret as it is now."""
        try:
            text = read_secret(self._path)
            if text != self._secret_value:
                self._check(text)
        except ValueError as error:
            # What pydantic raises quotes the secret.
            self._complain(str(error) if isinstance(error, SecretFileError) else "cannot be used")
            return self._secret_value
        self._complaint = ""
        if text != self._secret_value:
            self._secret_value = text
            log.info("secret_renewed", setting=self._setting)
        return text

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            help_ = "the secret that was read before is used on"
            log.warning("secret_unusable", setting=self._setting, error=complaint, help=help_)
        self._complaint = complaint


def read_secret(path: Path) -> str:
    """Return the file's text without one newline at its end; raises SecretFileError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # one could wait for ever for a pipe
            raise SecretFileError("is not a file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, SecretFileError):
            raise
        reason = getattr(error, "strerror", None) or "not a path"
        raise SecretFileError(f"cannot be read: {reason}") from None
    if len(data) > MOST_BYTES:
        raise SecretFileError(f"is larger than {MOST_BYTES:,} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise SecretFileError("is not UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if not text:
        raise SecretFileError("is empty")
    return text
